// The search of the frame: Ctrl+K, or a slash, opens a dialog in which the menu's pages are found as one types, and the
// rows that the server knows a moment later. What is typed goes into no address and no storage, and a key is not sent.
'use strict';
{
    const PAUSE = 200, PATIENCE = 10000; // milliseconds: until the server is asked, and for how long
    const SHORTEST = 2, LONGEST = 255, SHORTEST_KEY = 16, LAST = 4; // characters
    const REMEMBERED = 5, OPENED = 'gateway.palette.opened';
    // A key, as it is written anywhere; what stands in its place in a header; how lists show one.
    const KEY = /(?:^|[^a-z0-9])(sk-[^\s"'`,;<>]*)/i;
    const BEARER = /(?:^|[\s"'`:])bearer(?:\s+(\S+)|\s*$)/i, MASKED = /^sk-\.\.\.(\S{4})$/;
    const NOT_SENT = 'This looks like a key, so it stays in this browser and is not sent. Keys are found by their name, '
        + 'or by the last four characters of their secret.';
    const IS_MAC = /Mac|iPhone|iPad/.test(navigator.platform);

    const dialog = document.getElementById('palette'), form = dialog.querySelector('form');
    const field = document.getElementById('palette-field'), list = document.getElementById('palette-list');
    const note = document.getElementById('palette-note'), state = dialog.querySelector('.palette-state');
    const opener = document.querySelector('.palette-open');
    let options = [], active = -1, hasMoved = false, timer = 0, asked = null;

    // --- What there is to find

    const pages = [...document.querySelectorAll('#side-pages a')].map(link => ({
        name: link.textContent.trim(),
        detail: link.closest('.side-group').querySelector('h2')?.textContent ?? '',
        url: link.href,
        icon: link.querySelector('use').getAttribute('href').slice(3),
    }));

    function pagesWith(words) {
        const has = page => words.every(word => (
            page.name.toLowerCase().includes(word) || page.detail.toLowerCase().startsWith(word)
        ));
        const rank = page => (page.name.toLowerCase().startsWith(words[0] ?? '') ? 0 : 1);
        return pages.filter(has).sort((one, other) => rank(one) - rank(other));
    }

    // What this person opened from here, for as long as the tab is there and they are signed in.
    function opened() {
        try {
            const kept = JSON.parse(sessionStorage.getItem(OPENED));
            return kept?.person === dialog.dataset.person ? kept.found : [];
        } catch {
            return [];
        }
    }

    function remember(one) {
        if (pages.includes(one)) {
            return; // it is in the list as it is
        }
        const {name, detail, url, icon} = one;
        const found = [{name, detail, url, icon}, ...opened().filter(other => other.url !== url)].slice(0, REMEMBERED);
        try {
            sessionStorage.setItem(OPENED, JSON.stringify({person: dialog.dataset.person, found}));
        } catch {
            // Then nothing is remembered.
        }
    }

    // --- The list

    function iconOf(name) {
        const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
        const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
        use.setAttribute('href', `#i-${name}`);
        svg.setAttribute('class', 'icon');
        svg.setAttribute('aria-hidden', 'true');
        svg.append(use);
        return svg;
    }

    function part(tag, className, words) {
        const element = document.createElement(tag);
        element.className = className;
        element.textContent = words;
        return element;
    }

    function optionOf(one, index) {
        const option = document.createElement(one.url ? 'a' : 'div');
        option.id = `palette-option-${index}`;
        option.className = 'palette-option';
        option.tabIndex = -1;
        option.setAttribute('role', 'option');
        option.setAttribute('aria-selected', 'false');
        if (one.url) {
            option.href = one.url;
        }
        option.append(iconOf(one.icon), part('span', 'palette-name', one.name));
        if (one.detail) {
            option.append(' ', part('span', 'palette-detail', one.detail));
        }
        if (one.at) {
            const time = part('time', 'palette-time', `${one.at.slice(0, 19).replace('T', ' ')} UTC`);
            time.dateTime = one.at;
            option.append(' ', time);
        }
        option.addEventListener('click', event => choose(one, event));
        option.addEventListener('pointermove', () => activate(index, false));
        return option;
    }

    function groupOf(group, index) {
        const element = document.createElement('div'), heading = part('div', 'palette-heading', group.name);
        heading.id = `palette-group-${index}`;
        heading.setAttribute('role', 'presentation');
        element.setAttribute('role', 'group');
        element.setAttribute('aria-labelledby', heading.id);
        element.append(heading);
        for (const one of group.found) {
            element.append(optionOf(one, options.length));
            options.push(one);
        }
        return element;
    }

    // What was chosen by the arrow keys stays chosen when more is found; else it is the first line.
    function show(groups) {
        const before = hasMoved ? options[active]?.url : undefined;
        options = [];
        const shown = groups.filter(group => group.found.length);
        list.replaceChildren(...shown.map(groupOf));
        list.hidden = !options.length;
        field.setAttribute('aria-expanded', String(options.length > 0));
        list.dispatchEvent(new CustomEvent('gateway:content', {bubbles: true})); // times in the viewer's zone
        active = -1;
        const again = before ? options.findIndex(one => one.url === before) : -1;
        hasMoved = again >= 0;
        activate(Math.max(again, 0), true);
        return shown;
    }

    function activate(index, isInSight) {
        const all = list.querySelectorAll('[role=option]');
        all[active]?.setAttribute('aria-selected', 'false');
        active = all[index] ? index : -1;
        const option = all[active];
        option?.setAttribute('aria-selected', 'true');
        if (option) {
            field.setAttribute('aria-activedescendant', option.id);
        } else {
            field.removeAttribute('aria-activedescendant');
        }
        if (isInSight && active > 0) {
            option.scrollIntoView({block: 'nearest'});
        } else if (isInSight) {
            list.scrollTop = 0; // with the heading above it
        }
    }

    function move(step) {
        if (options.length) {
            hasMoved = true;
            activate((active + step + options.length) % options.length, true);
        }
    }

    function count(shown) {
        const parts = shown.map(group => `${group.name} ${group.found.length}`);
        return options.length ? `${options.length} found: ${parts.join(', ')}` : 'Nothing found that you may see';
    }

    // --- Looking for it

    // The key in the text, or what stands in its place in a header; "" for a part of one, null where there is none.
    function keyIn(text) {
        const found = KEY.exec(text) ?? BEARER.exec(text);
        return found && (found[1] ?? '');
    }

    function keyGroups(key) {
        if (key.length < SHORTEST_KEY) {
            return [];
        }
        const last = key.slice(-LAST);
        const look = () => {
            field.value = last;
            find();
        };
        return [{name: 'Keys', found: [{name: `Find the key that ends with ${last}`, icon: 'key', look}]}];
    }

    function find() {
        forget();
        hasMoved = false;
        const text = field.value.trim().replace(MASKED, '$1'), key = keyIn(text);
        note.hidden = key === null;
        note.textContent = key === null ? '' : NOT_SENT;
        if (key !== null) {
            show(keyGroups(key));
            state.textContent = '';
            return;
        }
        const words = text.toLowerCase().split(/\s+/).filter(Boolean);
        const here = [{name: 'Pages', found: pagesWith(words)}];
        if (!words.length) {
            here.unshift({name: 'Last opened', found: opened()});
        }
        const shown = show(here);
        if (text.length < SHORTEST || text.length > LONGEST) {
            state.textContent = words.length ? count(shown) : '';
            return;
        }
        state.textContent = options.length ? '' : 'Searching …';
        timer = setTimeout(() => ask(text, here), PAUSE);
    }

    async function ask(text, here) {
        const mine = asked = new AbortController();
        const patience = setTimeout(() => mine.abort(), PATIENCE);
        const body = new FormData(form);
        body.set('q', text);
        let words = 'The gateway does not answer; only pages are found';
        try {
            const answer = await fetch(form.action, {method: 'POST', body, redirect: 'manual', signal: mine.signal});
            if (answer.ok) {
                const {groups, note: said} = await answer.json();
                const lines = groups.map(group => ({...group, found: group.found.map(one => ({...one, icon: group.icon}))}));
                if (mine === asked) {
                    words = said ?? count(show([...here, ...lines]));
                }
            } else if (answer.type === 'opaqueredirect' || answer.status === 403) {
                words = 'You are no longer signed in. Reload the page';
            }
        } catch {
            // Said below, unless nobody waits for it any more.
        }
        clearTimeout(patience);
        if (mine === asked) {
            state.textContent = words;
        }
    }

    function forget() {
        clearTimeout(timer);
        asked?.abort();
        asked = null;
    }

    // --- Opening and closing

    function open() {
        if (!dialog.open) {
            dialog.showModal();
            field.focus();
            find();
        }
    }

    function choose(one, event) {
        if (one.look) {
            one.look();
            field.focus();
            return;
        }
        remember(one);
        if (!event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
            dialog.close();
        }
    }

    function enter(event) {
        const option = list.querySelectorAll('[role=option]')[active];
        if (option?.href && (event.ctrlKey || event.metaKey)) {
            remember(options[active]);
            window.open(option.href, '_blank', 'noopener');
        } else {
            option?.click();
        }
    }

    function isWriting(element) {
        return element.closest('input, textarea, select, [contenteditable]');
    }

    dialog.addEventListener('keydown', event => {
        const steps = {ArrowDown: 1, ArrowUp: -1};
        if (event.isComposing || event.target !== field) {
            return;
        }
        if (event.key in steps || event.key === 'Enter') {
            event.preventDefault();
            event.key === 'Enter' ? enter(event) : move(steps[event.key]);
        }
    });
    document.addEventListener('keydown', event => {
        const command = IS_MAC ? event.metaKey && !event.ctrlKey : event.ctrlKey && !event.metaKey;
        const isShortcut = command && !event.altKey && !event.shiftKey && event.key.toLowerCase() === 'k';
        const isSlash = event.key === '/' && !event.ctrlKey && !event.metaKey && !event.altKey;
        if (event.defaultPrevented) {
            return; // a list's own search has taken the slash
        }
        if (isShortcut && dialog.open) {
            event.preventDefault();
            dialog.close();
        } else if (isShortcut || (isSlash && !isWriting(event.target))) {
            event.preventDefault();
            open();
        }
    });
    field.addEventListener('input', find);
    form.addEventListener('submit', event => event.preventDefault());
    dialog.querySelector('.palette-close').addEventListener('click', () => dialog.close());
    dialog.addEventListener('click', event => {
        if (event.target === dialog) {
            dialog.close();
        }
    });
    dialog.addEventListener('close', () => {
        forget();
        form.reset();
        list.replaceChildren();
    });
    document.getElementById('logout-form')?.addEventListener('submit', () => sessionStorage.removeItem(OPENED));
    if (opener) {
        opener.addEventListener('click', open);
        opener.querySelector('kbd').textContent = IS_MAC ? '⌘ K' : 'Ctrl K';
        opener.hidden = false;
    }
}
