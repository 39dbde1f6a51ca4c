// Copy buttons, times in the viewer's zone, and a page with a secret that a reload leaves.
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

    function showTimes() {
        const now = new Date();
        for (const element of document.querySelectorAll('time[datetime]')) {
            element.title = element.textContent;
            element.textContent = words(new Date(element.dateTime), now);
        }
    }

    for (const button of document.querySelectorAll('button[data-copy]')) {
        button.addEventListener('click', () => copy(button));
    }
    const once = document.querySelector('[data-reload-goes-to]');
    if (once) {
        window.history.replaceState(null, '', once.dataset.reloadGoesTo);
    }
    // On a narrow screen the navigation is one row, and the current page may stand beyond its end.
    document.querySelector('.side [aria-current]')?.scrollIntoView({block: 'nearest', inline: 'center'});
    showTimes();
}
