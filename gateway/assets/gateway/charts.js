// Charts: `<figure class="chart">` with `data-chart="<id of a json_script>"` or `data-source="<url>"` (and, where it is
// to be live, `data-every="<seconds>"`). The data: {"x": [Unix seconds], "series": [{"name", "unit", "values"}],
// "stacked": bool, "kind": "line" | "bars", "dates": "day" | "week" | "month"}; a series may name its "colour". With
// "dates" each x is the midnight of UTC at which such a step begins, and is told as a date, the same in every zone.
// Drawn by uPlot, which is loaded where a page has a chart.
'use strict';
{
    const home = new URL('.', document.currentScript.src);
    const HEIGHT = 220;
    const COLOURS = 8; // --series-1 … --series-8 of the stylesheet
    const DASHES = [undefined, [8, 4], [2, 3], [10, 3, 2, 3]]; // pixels drawn and left out: lines are told apart without colours too
    const ONE = {calls: 'call', tokens: 'token'};
    const TICK = 72; // pixels from one word below the chart to the next, at least
    const charts = new Map();
    let loading = null;

    function load() {
        loading ??= new Promise((resolve, reject) => {
            const style = document.createElement('link');
            style.rel = 'stylesheet';
            style.href = new URL('uplot/uPlot.css', home);
            const script = document.createElement('script');
            script.src = new URL('uplot/uPlot.js', home);
            script.onload = resolve;
            script.onerror = reject;
            document.head.append(style, script);
        });
        return loading;
    }

    // A canvas does not know the page's variables: a probe element tells what they are in this theme.
    function colours() {
        const probe = document.createElement('span');
        probe.hidden = true;
        document.body.append(probe);
        const read = name => {
            probe.style.color = `var(--${name})`;
            return getComputedStyle(probe).color;
        };
        const found = {text: read('body-quiet-color'), grid: read('hairline-color'), series: []};
        for (let at = 1; at <= COLOURS; at += 1) {
            found.series.push(read(`series-${at}`));
        }
        probe.remove();
        return found;
    }

    // The place of a series' colour: its own ("colour": 1 to 8) where it has a meaning, else the next.
    const tone = (one, at) => (one.colour ?? at % COLOURS + 1) - 1;
    const faint = colour => colour.replace(/^rgb\((.*)\)$/, 'rgb($1 / 14%)').replaceAll(',', ' ');
    const compact = new Intl.NumberFormat('en', {notation: 'compact', maximumFractionDigits: 1});
    const whole = new Intl.NumberFormat('en', {maximumSignificantDigits: 4});
    const exact = new Intl.NumberFormat('en', {maximumFractionDigits: 0});
    const clock = new Intl.DateTimeFormat(undefined, {hour: '2-digit', minute: '2-digit', hourCycle: 'h23'});
    const seconds = new Intl.DateTimeFormat(undefined, {hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23'});
    const day = new Intl.DateTimeFormat(undefined, {day: 'numeric', month: 'short'});
    const dayOfUtc = new Intl.DateTimeFormat(undefined, {day: 'numeric', month: 'short', timeZone: 'UTC'});
    const dateOfUtc = new Intl.DateTimeFormat(undefined, {day: 'numeric', month: 'short', year: 'numeric', timeZone: 'UTC'});
    const monthOfUtc = new Intl.DateTimeFormat(undefined, {month: 'short', year: 'numeric', timeZone: 'UTC'});
    const dates = {
        day: at => dateOfUtc.format(at * 1000),
        week: at => `Week from ${dateOfUtc.format(at * 1000)}`,
        month: at => monthOfUtc.format(at * 1000),
    };

    function amount(value, unit) {
        if (value === null || value === undefined) {
            return '—';
        }
        const number = Math.abs(value) >= 1000 || Number.isInteger(value) ? exact.format(value) : whole.format(value);
        return unit ? `${number} ${(value === 1 && ONE[unit]) || unit}` : number;
    }

    function moment(at, step) {
        const date = new Date(at * 1000);
        if (step >= 86400) {
            return day.format(date);
        }
        return `${day.format(date)}, ${(step < 60 ? seconds : clock).format(date)}`;
    }

    function ticks(chart, splits, axis, space, step) {
        return splits.map(at => {
            const date = new Date(at * 1000);
            const midnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
            return step >= 86400 || midnight ? day.format(date) : (step < 60 ? seconds : clock).format(date);
        });
    }

    // Each word stands below a bar, of as many as have room.
    function ticksOfDates({x, dates}) {
        const words = dates === 'month' ? monthOfUtc : dayOfUtc;
        return {
            splits: (chart, axis, from, to, seconds, pixels) => { // as many pixels are as many seconds
                const every = x.length > 1 ? Math.ceil((TICK * seconds) / pixels / (x[1] - x[0])) : 1;
                return x.filter((at, number) => number % every === 0);
            },
            values: (chart, splits) => splits.map(at => words.format(at * 1000)),
        };
    }

    // Each series on top of those before it; the sums are drawn from the highest to the lowest.
    function sums(series) {
        const total = [];
        return series.map(one => one.values.map((value, at) => {
            total[at] = (total[at] ?? 0) + (value ?? 0);
            return total[at];
        }));
    }

    class Chart {
        constructor(figure) {
            this.figure = figure;
            this.plot = figure.querySelector('.chart-plot') ?? this.add('div', 'chart-plot');
            this.at = null;
            this.sizes = new ResizeObserver(() => this.resize());
        }

        add(tag, name, text) {
            const element = document.createElement(tag);
            element.className = name;
            if (text !== undefined) {
                element.textContent = text;
            }
            this.figure.append(element);
            return element;
        }

        async start() {
            const {chart, source, every} = this.figure.dataset;
            if (chart) {
                await this.show(JSON.parse(document.getElementById(chart).textContent));
            } else {
                await this.fetch(source);
                if (every) {
                    this.timer = setInterval(() => document.hidden || this.fetch(source), Number(every) * 1000);
                }
            }
        }

        stop() {
            clearInterval(this.timer);
            this.sizes.disconnect();
            this.drawn?.destroy();
        }

        async fetch(source) {
            try {
                const response = await fetch(source, {redirect: 'manual', signal: AbortSignal.timeout(20000)});
                if (!response.ok) {
                    throw new Error(response.status);
                }
                const told = await response.text();
                if (told !== this.told) { // what is drawn anew is taken away from who reads it
                    await this.show(JSON.parse(told));
                    this.table();
                    this.told = told;
                }
                this.heard = new Date();
                this.say('');
            } catch {
                const then = this.figure.dataset.every ? 'trying again.' : 'reload the page to try again.';
                this.say(this.heard ? `No news since ${seconds.format(this.heard)}; ${then}` : `This chart could not be loaded; ${then}`);
            }
        }

        say(words) {
            const note = this.figure.querySelector('.stale-note');
            if (note) {
                note.textContent = words;
                note.hidden = !words;
            } else if (words) {
                this.add('p', 'stale-note', words).setAttribute('role', 'status');
            }
        }

        async show(data) {
            this.data = data;
            if (!data.x.length || !data.series.length) {
                this.drawn?.destroy();
                this.drawn = null;
                this.plot.textContent = 'Nothing to show yet.';
                this.plot.classList.add('chart-none');
                return;
            }
            await load();
            this.plot.classList.remove('chart-none');
            this.draw();
        }

        draw() {
            const hadFocus = this.stage?.contains(document.activeElement);
            const wasAt = hadFocus ? this.at : null;
            this.stage = null;
            this.drawn?.destroy();
            this.plot.replaceChildren();
            this.legend();
            const {x, series, stacked} = this.data;
            const columns = stacked ? sums(series) : series.map(one => one.values);
            this.order = series.map((one, at) => at);
            if (stacked) {
                this.order.reverse();
            }
            const stage = document.createElement('div');
            stage.className = 'chart-stage';
            this.plot.append(stage);
            this.stage = stage;
            this.drawn = new uPlot(this.options(), [x, ...this.order.map(at => columns[at])], stage);
            this.tip = document.createElement('div');
            this.tip.className = 'chart-tip';
            this.tip.hidden = true;
            stage.append(this.tip);
            this.readout();
            this.sizes.observe(this.plot);
            this.at = null;
            if (hadFocus) {
                stage.focus({preventScroll: true});
                if (wasAt !== null) { // uPlot knows its scales in a moment
                    queueMicrotask(() => stage === this.stage && this.go(Math.min(wasAt, x.length - 1)));
                }
            }
        }

        // Puts the cursor on a value, as the pointer would.
        go(to) {
            this.drawn.setCursor({left: this.drawn.valToPos(this.data.x[to], 'x'), top: 10});
            this.follow(to, 0);
        }

        leave() {
            this.at = null;
            this.drawn.setCursor({left: -10, top: -10});
        }

        legend() {
            const legend = document.createElement('ul');
            legend.className = 'chart-legend';
            const [unit, ...others] = new Set(this.data.series.map(one => one.unit ?? ''));
            this.data.series.forEach((one, at) => {
                const line = document.createElement('li');
                line.className = this.mark(one, at);
                line.textContent = others.length && one.unit && one.unit !== one.name ? `${one.name} (${one.unit})` : one.name;
                legend.append(line);
            });
            if (unit && !others.length && !this.data.series.some(one => one.name === unit)) {
                const line = document.createElement('li');
                line.className = 'chart-unit';
                line.textContent = `in ${unit}`;
                legend.append(line);
            }
            this.plot.append(legend);
        }

        // How a series is marked beside its name: as its line is drawn, or with the colour of its area.
        mark(one, at) {
            const colour = `series-${tone(one, at) + 1}`;
            return this.lines() ? `${colour} dash-${at % DASHES.length + 1}` : colour;
        }

        // Whether series are lines of which none hides another.
        lines() {
            const {series, stacked, kind} = this.data;
            return !stacked && kind !== 'bars' && series.length > 1;
        }

        moment(at) {
            return dates[this.data.dates]?.(at) ?? moment(at, this.step());
        }

        step() {
            const {x} = this.data;
            return x.length > 1 ? x[1] - x[0] : 3600;
        }

        options() {
            const {series, stacked, kind} = this.data;
            const paint = colours();
            const units = [...new Set(series.map(one => one.unit ?? ''))];
            const bars = kind === 'bars' ? uPlot.paths.bars({size: [0.72, 48], radius: 0.12}) : undefined;
            const axis = {stroke: paint.text, font: '11.5px Inter, system-ui, sans-serif', ticks: {show: false}, border: {show: false}};
            const grid = {stroke: paint.grid, width: 1};
            return {
                width: this.plot.clientWidth || 600,
                height: HEIGHT,
                padding: [12, units.length > 1 ? 0 : 12, 0, 0],
                legend: {show: false},
                cursor: {y: false, points: {size: 7}, drag: {x: false, y: false}},
                scales: {
                    x: {range: (chart, from, to) => (bars || from === to ? [from - this.step() * 0.6, to + this.step() * 0.6] : [from, to])},
                    ...Object.fromEntries(units.map(unit => [`y:${unit}`, {range: (chart, from, to) => [Math.min(0, from), to > 0 ? to * 1.08 : 1]}])),
                },
                axes: [
                    {...axis, grid: {show: false}, values: ticks, space: TICK, size: 24, ...(this.data.dates ? ticksOfDates(this.data) : {})},
                    ...units.slice(0, 2).map((unit, at) => ({
                        ...axis,
                        scale: `y:${unit}`,
                        side: at ? 1 : 3,
                        size: 56,
                        space: 44,
                        grid: at ? {show: false} : grid,
                        values: (chart, splits) => splits.map(value => (value === null ? '' : compact.format(value))),
                    })),
                ],
                series: [
                    {},
                    ...this.order.map(at => ({
                        scale: `y:${series[at].unit ?? ''}`,
                        stroke: bars ? undefined : paint.series[tone(series[at], at)],
                        fill: stacked || bars ? paint.series[tone(series[at], at)] : series.length === 1 ? faint(paint.series[tone(series[at], at)]) : undefined,
                        width: bars ? 0 : 1.75,
                        dash: this.lines() ? DASHES[at % DASHES.length] : undefined,
                        paths: bars,
                        points: {show: this.data.x.length === 1 && !bars},
                    })),
                ],
                hooks: {setCursor: [chart => this.follow(chart.cursor.idx, chart.cursor.left)]},
            };
        }

        // The values under the pointer, or under the arrow keys.
        follow(index, left) {
            if (!this.tip) {
                return;
            }
            if (index === null || index === undefined || left < 0) {
                this.tip.hidden = true;
                return;
            }
            this.at = index;
            const {x, series} = this.data;
            const head = document.createElement('strong');
            head.textContent = this.moment(x[index]);
            const lines = series.map((one, at) => {
                const line = document.createElement('span');
                line.className = this.mark(one, at);
                const words = document.createElement('span'); // clipped where it is long; the value never is
                words.className = 'chart-tip-name';
                words.textContent = `${one.name}: `;
                line.append(words, amount(one.values[index], one.unit === one.name ? '' : one.unit));
                return line;
            });
            this.tip.replaceChildren(head, ...lines);
            this.tip.hidden = false;
            const place = this.drawn.valToPos(x[index], 'x') + this.drawn.over.offsetLeft;
            const room = this.stage.clientWidth - this.tip.offsetWidth;
            this.tip.style.left = `${Math.max(0, Math.min(room, place > room / 1.4 ? place - this.tip.offsetWidth - 12 : place + 12))}px`;
        }

        readout() {
            const stage = this.stage;
            const name = this.figure.getAttribute('aria-label') ?? 'Chart';
            const spoken = document.createElement('p');
            spoken.className = 'visually-hidden';
            spoken.setAttribute('aria-live', 'polite');
            stage.after(spoken);
            stage.tabIndex = 0;
            stage.setAttribute('role', 'application'); // so that screen readers leave it the arrow keys
            stage.setAttribute('aria-roledescription', 'chart');
            stage.setAttribute('aria-label', `${name}. Arrow keys go through its values, Page Up and Page Down in larger steps; all of them are under Figures.`);
            stage.addEventListener('keydown', event => {
                const last = this.data.x.length - 1;
                const far = Math.max(1, Math.round(last / 10));
                const back = step => Math.max(0, (this.at ?? last + step) - step);
                const on = step => Math.min(last, (this.at ?? -step) + step);
                const to = {
                    ArrowLeft: back(1), ArrowRight: on(1), PageUp: back(far), PageDown: on(far), Home: 0, End: last,
                }[event.key];
                if (event.key === 'Escape') {
                    this.leave();
                    spoken.textContent = '';
                } else if (to !== undefined && !event.altKey && !event.ctrlKey && !event.metaKey) {
                    event.preventDefault();
                    this.go(to);
                    spoken.textContent = [...this.tip.children].map(line => line.textContent).join('. ');
                }
            });
            stage.addEventListener('blur', () => stage === this.stage && this.leave());
        }

        resize() {
            const width = this.plot.clientWidth;
            if (this.drawn && width && width !== this.drawn.width) {
                this.drawn.setSize({width, height: HEIGHT});
            }
        }

        // For a chart whose data was fetched: the table of figures that the server writes for the others.
        table() {
            const details = this.figure.querySelector('.chart-figures') ?? this.add('details', 'chart-figures');
            const wasOpen = details.open;
            const summary = document.createElement('summary');
            summary.textContent = 'Figures';
            const table = document.createElement('table');
            const head = table.createTHead().insertRow();
            for (const name of ['Time', ...this.data.series.map(one => (one.unit && one.unit !== one.name ? `${one.name}, ${one.unit}` : one.name))]) {
                const cell = document.createElement('th');
                cell.scope = 'col';
                cell.textContent = name;
                head.append(cell);
            }
            const body = table.createTBody();
            for (let at = this.data.x.length - 1; at >= 0; at -= 1) {
                const row = body.insertRow();
                const time = document.createElement('th');
                time.scope = 'row';
                time.textContent = this.moment(this.data.x[at]);
                time.title = `${new Date(this.data.x[at] * 1000).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
                row.append(time);
                for (const one of this.data.series) {
                    const cell = row.insertCell();
                    cell.className = 'number';
                    cell.textContent = amount(one.values[at], '');
                }
            }
            const scroll = document.createElement('div');
            scroll.className = 'scroll';
            scroll.tabIndex = 0;
            scroll.setAttribute('role', 'region');
            scroll.setAttribute('aria-label', `${this.figure.getAttribute('aria-label') ?? 'Chart'}: figures`);
            scroll.append(table);
            details.replaceChildren(summary, scroll);
            details.open = wasOpen;
        }
    }

    function find() {
        for (const [figure, chart] of charts) {
            if (!figure.isConnected) {
                chart.stop();
                charts.delete(figure);
            }
        }
        for (const figure of document.querySelectorAll('figure.chart')) {
            if (!charts.has(figure)) {
                const chart = new Chart(figure);
                charts.set(figure, chart);
                chart.start();
            }
        }
    }

    function redraw() {
        for (const chart of charts.values()) {
            if (chart.drawn) {
                chart.draw();
            }
        }
    }

    find();
    document.addEventListener('gateway:content', find);
    new MutationObserver(redraw).observe(document.documentElement, {attributeFilter: ['data-theme']});
    window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
}
