// Copy buttons, menus, the search, the way to what is wrong in a form, short addresses of filtered calls, lists on a phone,
// times in the viewer's zone, shown and entered, and a page with a secret that a reload leaves.
'use strict';
{
    function select(element) {
        const range = document.createRange();
        range.selectNodeContents(element);
        const selection = window.getSelection();
        selection.removeAllRanges();
        selection.addRange(range);
    }

    async function copy(button) {
        const source = document.getElementById(button.dataset.copy);
        select(source);
        try {
            await navigator.clipboard.writeText(source.textContent);
        } catch {
            // Without https there is no clipboard API; the old command works on the selection.
            if (!document.execCommand('copy')) {
                button.textContent = 'Press Ctrl+C';
                return;
            }
        }
        button.textContent = 'Copied';
    }

    // As short as it can be: the time alone for today, no year for this year.
    function words(at, now) {
        const time = {hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23'};
        const day = {day: 'numeric', month: 'short'};
        if (at.toDateString() === now.toDateString()) {
            return new Intl.DateTimeFormat(undefined, time).format(at);
        }
        if (at.getFullYear() === now.getFullYear()) {
            return new Intl.DateTimeFormat(undefined, {...day, hour: time.hour, minute: time.minute, hourCycle: 'h23'}).format(at);
        }
        return new Intl.DateTimeFormat(undefined, {...day, year: 'numeric'}).format(at);
    }

    function showTimes(within) {
        const now = new Date();
        for (const element of within.querySelectorAll('time[datetime]:not([title])')) {
            element.title = element.textContent;
            element.textContent = words(new Date(element.dateTime), now);
        }
    }

    const pad = number => String(number).padStart(2, '0');

    function localText(at) {
        return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}T${pad(at.getHours())}:${pad(at.getMinutes())}`;
    }

    // The server reads UTC; people read and enter the zone in which they see all other times.
    function enterLocally(input) {
        const sent = document.createElement('input');
        sent.type = 'hidden';
        sent.name = input.name;
        sent.value = input.value;
        input.removeAttribute('name');
        input.after(sent);
        if (input.value) {
            input.value = localText(new Date(`${input.value}Z`));
        }
        for (const label of input.labels) {
            label.textContent = label.textContent.replace(' (UTC)', '');
        }
        input.addEventListener('input', () => {
            sent.value = input.value && new Date(input.value).toISOString().slice(0, 16);
        });
    }

    // A menu closes when somebody turns to something else, and on Escape, which leads back to its button.
    function closeMenus() {
        const leave = event => {
            for (const menu of document.querySelectorAll('details.menu[open]')) {
                if (!menu.contains(event.target)) {
                    menu.open = false;
                }
            }
        };
        document.addEventListener('click', leave);
        document.addEventListener('focusin', leave);
        document.addEventListener('keydown', event => {
            const menu = event.key === 'Escape' && event.target.closest('details.menu[open]');
            if (menu) {
                menu.open = false;
                menu.querySelector('summary').focus();
            }
        });
    }

    // On a phone a list's rows are cards, in which each value stands under its column's heading.
    function nameCells(list) {
        const headings = [...list.tHead.rows[0].cells].map(cell => cell.querySelector('.text')?.textContent.trim() ?? '');
        for (const row of list.tBodies[0].rows) {
            for (const cell of row.querySelectorAll(':scope > td:not(.action-checkbox)')) {
                cell.dataset.label = headings[cell.cellIndex];
            }
        }
        list.classList.add('as-cards');
    }

    // As on other sites: a slash leads to the search, unless somebody is writing.
    function searchOnSlash(search) {
        document.addEventListener('keydown', event => {
            const writing = event.target.closest('input, textarea, select, [contenteditable]');
            if (event.key === '/' && !writing && !event.ctrlKey && !event.metaKey && !event.altKey) {
                event.preventDefault();
                search.focus();
                search.select();
            }
        });
    }

    // What is set alone makes the address, which people keep and send to each other.
    function sendFilled(data) {
        for (const [name, value] of [...data]) {
            if (value === '') {
                data.delete(name);
            }
        }
    }

    // On a phone the calls come first: of the filters only the search is in sight, and the others are folded.
    function foldFilters(form) {
        const sight = form.querySelector('.filters');
        const more = form.querySelector('.filters-more');
        const others = [...sight.querySelectorAll('.filter:not(.filter-q)')];
        const phone = matchMedia('(max-width: 767px)');
        const place = () => {
            if (phone.matches) {
                more.querySelector('.filters').prepend(...others);
                more.open ||= others.some(filter => filter.querySelector('.errorlist'));
            } else {
                sight.querySelector('.filter-buttons').before(...others);
            }
        };
        place();
        phone.addEventListener('change', place);
    }

    // What has to be mended may be far down, and folded away.
    function leadToError(form) {
        const wrong = form.querySelector('.errors :is(input:not([type=hidden]), select, textarea), [aria-invalid=true]');
        if (wrong) {
            for (let fold = wrong.closest('details'); fold; fold = fold.parentElement.closest('details')) {
                fold.open = true;
            }
            wrong.focus();
        }
    }

    for (const list of document.querySelectorAll('#result_list')) {
        nameCells(list);
    }
    for (const search of document.querySelectorAll('#searchbar')) {
        searchOnSlash(search);
    }
    for (const input of document.querySelectorAll('input[data-utc]')) {
        enterLocally(input);
    }
    for (const form of document.querySelectorAll('#log-filters')) {
        form.addEventListener('formdata', event => sendFilled(event.formData));
        foldFilters(form);
    }
    // After Django's own script, which leads to the first field of a new row.
    window.addEventListener('load', () => {
        for (const form of document.querySelectorAll('#content-main form[method=post]')) {
            leadToError(form);
        }
    });
    document.addEventListener('click', event => {
        const button = event.target.closest('button[data-copy]');
        if (button) {
            copy(button);
        }
    });
    document.addEventListener('gateway:content', event => showTimes(event.target));
    const once = document.querySelector('[data-reload-goes-to]');
    if (once) {
        window.history.replaceState(null, '', once.dataset.reloadGoesTo);
    }
    document.querySelector('.side-toggle')?.addEventListener('click', event => {
        const open = document.querySelector('.side').classList.toggle('open');
        event.currentTarget.setAttribute('aria-expanded', String(open));
    });
    closeMenus();
    showTimes(document);
}
