// The page of the settings: what is typed narrows it down at once. Without this script the same form loads the page anew.
'use strict';
{
    const form = document.querySelector('.settings-filter');
    const words = form.querySelector('[name=q]'), changed = form.querySelector('[name=changed]');
    const groups = [...document.querySelectorAll('.settings-group')].map(group => ({
        group,
        wasOpen: false,
        rows: [...group.querySelectorAll('tbody tr')].map(row => ({row, text: row.textContent.toLowerCase()})),
    }));
    let isNarrow = Boolean(words.value.trim()) || changed.checked;

    function narrow() {
        const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
        const wasNarrow = isNarrow;
        isNarrow = wanted.length > 0 || changed.checked;
        let found = 0;
        for (const one of groups) {
            let here = 0;
            for (const {row, text} of one.rows) {
                row.hidden = !(wanted.every(word => text.includes(word)) && (!changed.checked || 'changed' in row.dataset));
                here += row.hidden ? 0 : 1;
            }
            if (!wasNarrow && isNarrow) {
                one.wasOpen = one.group.open;
            }
            one.group.hidden = here === 0;
            if (isNarrow !== wasNarrow) {
                one.group.open = isNarrow || one.wasOpen;
            }
            found += here;
        }
        document.getElementById('settings-found').textContent = found;
        const asked = new URLSearchParams(new FormData(form));
        if (!asked.get('q')) {
            asked.delete('q');
        }
        window.history.replaceState(null, '', `${window.location.pathname}${asked.size ? `?${asked}` : ''}${window.location.hash}`);
    }

    form.querySelector('button').hidden = true;
    form.querySelector('a')?.remove();
    form.addEventListener('submit', event => {
        event.preventDefault();
        narrow();
    });
    words.addEventListener('input', narrow);
    changed.addEventListener('change', narrow);
}
