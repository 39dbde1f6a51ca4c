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

    function showTimes() {
        const format = new Intl.DateTimeFormat(undefined, {dateStyle: 'medium', timeStyle: 'medium'});
        for (const element of document.querySelectorAll('time[datetime]')) {
            element.title = element.textContent;
            element.textContent = format.format(new Date(element.dateTime));
        }
    }

    for (const button of document.querySelectorAll('button[data-copy]')) {
        button.addEventListener('click', () => copy(button));
    }
    const once = document.querySelector('[data-reload-goes-to]');
    if (once) {
        window.history.replaceState(null, '', once.dataset.reloadGoesTo);
    }
    showTimes();
}
