// Calls /v1/chat/completions of this same address as a client would: no cookie goes with the call, and the key is held
// by this script alone. Shows the stream as it comes, its times, and what was sent and received.
'use strict';
{
    const page = document.querySelector('.play');
    const part = name => document.getElementById(`play-${name}`);
    const causes = JSON.parse(part('causes').textContent);
    const PATH = '/v1/chat/completions';
    const MOST_RAW = 200000;
    const IN_PLACE = '$VLLM_API_KEY';
    let made = null; // {secret, until, team}
    let going = null; // the AbortController of the call that is open

    class Refused extends Error {}

    function state(kind, words) {
        part('state').className = kind ? `badge badge-${kind}` : 'badge';
        part('state').textContent = words;
    }

    // As the pages of the server tell a length of time (common.admin.duration).
    const ms = time => time < 1000 ? `${Math.round(time)} ms`
        : time < 120_000 ? `${(time / 1000).toFixed(2)} s` : `${(time / 60_000).toFixed(1)} min`;

    // --- The key

    async function secret() {
        if (page.querySelector('input[name="which"]:checked').value === 'pasted') {
            const given = part('secret').value.trim();
            if (!given) {
                throw new Refused('Paste a key, or let one be made.');
            }
            return given;
        }
        const team = part('team').value;
        if (made && made.team === team && Date.now() < made.until) {
            return made.secret;
        }
        const token = page.querySelector('[name="csrfmiddlewaretoken"]').value;
        const response = await fetch(page.dataset.keyUrl, {
            method: 'POST', body: new URLSearchParams({team}), headers: {'X-CSRFToken': token}, signal: going.signal,
        });
        const told = await response.json().catch(() => ({error: `No key could be made: ${response.status}. Reload the page and try again.`}));
        if (!response.ok) {
            throw new Refused(told.error);
        }
        made = {secret: told.secret, until: Date.now() + (told.seconds - 20) * 1000, team};
        return made.secret;
    }

    // --- The call

    function body() {
        const messages = [{role: 'user', content: part('message').value}];
        if (part('system').value.trim()) {
            messages.unshift({role: 'system', content: part('system').value});
        }
        const asked = {model: part('model').value.trim(), messages};
        if (part('max').value) {
            asked.max_tokens = Number(part('max').value);
        }
        if (part('temperature').value) {
            asked.temperature = Number(part('temperature').value);
        }
        if (part('stream').checked) {
            asked.stream = true;
            asked.stream_options = {include_usage: true};
        }
        return asked;
    }

    const quoted = text => `'${text.replaceAll("'", "'\\''")}'`;

    function showRequest(asked) {
        const url = new URL(PATH, location.href);
        part('curl').textContent = `curl ${asked.stream ? '-N ' : ''}${quoted(url.href)} \\\n  -H "Authorization: Bearer ${IN_PLACE}" \\\n`
            + `  -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(asked))}`;
        part('request').textContent = `POST ${PATH} HTTP/1.1\nHost: ${url.host}\nAuthorization: Bearer ${IN_PLACE}\n`
            + `Content-Type: application/json\n\n${JSON.stringify(asked, null, 2)}`;
    }

    class Answer {
        constructor() {
            this.began = performance.now();
            this.first = null;
            this.pieces = 0;
            this.usage = null;
            this.wasCut = false; // at as many tokens as were allowed
            this.raw = 0;
            this.kept = '';
            this.unshown = new Map(); // the text of each part that is not on the page yet
            this.frame = null;
            for (const name of ['ttft', 'rate', 'prompt', 'completion', 'duration']) {
                part(name).textContent = '—';
            }
            for (const name of ['answer', 'thinking', 'response', 'error']) {
                part(name).replaceChildren();
            }
            part('thinking-box').hidden = part('error').hidden = part('log').hidden = true;
        }

        head(response) {
            const lines = [`HTTP ${response.status} ${response.statusText}`.trim()];
            response.headers.forEach((value, name) => lines.push(`${name}: ${value}`));
            part('response').textContent = `${lines.join('\n')}\n\n`;
            const call = response.headers.get('x-litellm-call-id') ?? response.headers.get('x-request-id');
            if (call && page.dataset.logsUrl) {
                part('log').hidden = false;
                part('log').querySelector('a').href = page.dataset.logsUrl + encodeURIComponent(call);
            }
        }

        received(text) {
            const room = MOST_RAW - this.raw;
            this.raw += text.length;
            if (room > 0) {
                this.put('response', text.slice(0, room) + (this.raw >= MOST_RAW ? '\n… (the rest is not shown)' : ''));
            }
        }

        // Whole lines of an event stream; what is cut waits for its rest.
        feed(text) {
            this.kept += text;
            const lines = this.kept.split(/\r?\n/);
            this.kept = lines.pop();
            for (const line of lines) {
                const data = line.startsWith('data:') ? line.slice(5).trim() : '';
                if (data && data !== '[DONE]') {
                    this.event(JSON.parse(data));
                }
            }
        }

        event(told) {
            if (told.error) {
                this.fail(told.error.code, told);
            }
            this.usage = told.usage ?? this.usage;
            for (const choice of told.choices ?? []) {
                const said = choice.delta ?? choice.message ?? {};
                this.write('thinking', said.reasoning_content ?? said.reasoning);
                this.write('answer', said.content);
                this.wasCut ||= choice.finish_reason === 'length';
            }
        }

        write(where, text) {
            if (!text) {
                return;
            }
            if (this.first === null) {
                this.first = performance.now();
            }
            this.pieces += 1;
            this.put(where, text);
        }

        // Written once a frame: the page would else be laid out for each token, which takes longer than a token does,
        // and the times would be the browser's.
        put(where, text) {
            this.unshown.set(where, (this.unshown.get(where) ?? '') + text);
            this.frame ??= requestAnimationFrame(() => this.show());
        }

        show() {
            cancelAnimationFrame(this.frame);
            this.frame = null;
            for (const [where, text] of this.unshown) {
                const box = part(where);
                const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
                box.append(text);
                if (where === 'thinking') {
                    part('thinking-box').hidden = false;
                }
                if (atEnd && where !== 'response') {
                    box.scrollTop = box.scrollHeight;
                }
            }
            this.unshown.clear();
        }

        fail(status, told) {
            const error = told?.error ?? told ?? {};
            const box = part('error');
            const say = (words, strong) => {
                const line = document.createElement('p');
                line.append(strong ? Object.assign(document.createElement('strong'), {textContent: strong}) : '', words);
                box.append(line);
            };
            box.hidden = false;
            say(` ${error.type ?? ''}`, String(status ?? 'Error'));
            say(error.message ?? 'The answer says no more.');
            const cause = causes[error.type] ?? causes[status];
            if (cause) {
                say(`${cause.sentence} (${cause.who} can mend it)`);
            }
            this.failed = true;
        }

        ending() {
            if (this.failed) {
                return ['bad', 'Failed'];
            }
            return this.wasCut ? ['warning', 'Cut at the most tokens'] : ['good', 'Complete'];
        }

        end(streamed) {
            const now = performance.now();
            this.show();
            part('duration').textContent = ms(now - this.began);
            const tokens = this.usage?.completion_tokens;
            part('prompt').textContent = this.usage?.prompt_tokens ?? '—';
            part('completion').textContent = tokens ?? (this.pieces && streamed ? `about ${this.pieces}` : '—');
            if (!streamed) {
                return;
            }
            if (this.first !== null) {
                part('ttft').textContent = ms(this.first - this.began);
                const count = tokens ?? this.pieces;
                if (count > 1 && now > this.first) {
                    part('rate').textContent = ((count - 1) * 1000 / (now - this.first)).toFixed(1);
                }
            }
        }
    }

    async function call(asked, key, answer) {
        const response = await fetch(PATH, {
            method: 'POST',
            credentials: 'omit',
            cache: 'no-store',
            headers: {'Authorization': `Bearer ${key}`, 'Content-Type': 'application/json'},
            body: JSON.stringify(asked),
            signal: going.signal,
        });
        answer.head(response);
        const streamed = (response.headers.get('content-type') ?? '').startsWith('text/event-stream');
        state('quiet', streamed ? 'Writing …' : 'Reading …');
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        let whole = '';
        try {
            for (;;) {
                const {done, value} = await reader.read();
                if (done) {
                    break;
                }
                answer.received(value);
                if (streamed) {
                    answer.feed(value);
                } else {
                    whole += value;
                }
            }
        } finally {
            answer.end(streamed);
        }
        if (!streamed) {
            readWhole(response, whole, answer);
            answer.end(streamed);
        }
        if (!response.ok && !answer.failed) {
            answer.fail(response.status, {});
        }
        if (response.status === 401) {
            made = null; // blocked or deleted meanwhile: the next call gets another
        }
    }

    function readWhole(response, whole, answer) {
        let told;
        try {
            told = JSON.parse(whole);
        } catch {
            told = {message: whole.slice(0, 500)};
        }
        if (response.ok) {
            answer.event(told);
        } else {
            answer.fail(response.status, told);
        }
    }

    async function send() {
        if (going) {
            return;
        }
        going = new AbortController();
        part('send').disabled = true;
        part('stop').disabled = false;
        let answer = null;
        try {
            state('quiet', 'Sending …');
            const key = await secret();
            const asked = body();
            showRequest(asked);
            answer = new Answer();
            await call(asked, key, answer);
            state(...answer.ending());
        } catch (error) {
            if (error.name === 'AbortError') {
                state('warning', 'Stopped');
            } else {
                state('bad', 'Failed');
                answer ??= new Answer();
                answer.fail(null, {message: error instanceof Refused ? error.message : `The gateway could not be reached, or broke off: ${error.message}`});
            }
        } finally {
            going = null;
            part('send').disabled = false;
            part('stop').disabled = true;
        }
    }

    part('form').addEventListener('submit', event => {
        event.preventDefault();
        send();
    });
    part('stop').addEventListener('click', () => going?.abort());
    part('form').addEventListener('keydown', event => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            part('form').requestSubmit();
        }
    });
    // A page that comes back from the browser's memory has forgotten its keys.
    window.addEventListener('pagehide', () => {
        made = null;
        part('secret').value = '';
    });
}
