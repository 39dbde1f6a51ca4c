// Asks before a form of a row is left with changes that nobody saved. What counts is what would be sent, so a value that
// is changed back, or a row that is added and removed again, is no change; nor is what only narrows a choice down.
'use strict';
{
    function sentBy(form) {
        return JSON.stringify([...new FormData(form)]);
    }

    function watch(form) {
        // A form that came back with errors holds what was typed, which is saved nowhere.
        const isUnsaved = Boolean(form.querySelector('.errornote'));
        const loaded = sentBy(form);
        let isSubmitted = false;

        // At the window, where it is known whether a script has answered the button in place.
        window.addEventListener('submit', event => {
            isSubmitted = event.target === form && !event.defaultPrevented;
        });
        // Whoever stopped the sending, or came back to the page, has it to lose again.
        form.addEventListener('input', () => {
            isSubmitted = false;
        });
        window.addEventListener('pageshow', () => {
            isSubmitted = false;
        });
        window.addEventListener('beforeunload', event => {
            if (!isSubmitted && (isUnsaved || sentBy(form) !== loaded)) {
                event.preventDefault();
            }
        });
    }

    const form = document.querySelector('#content-main > form[method=post]');
    if (form) {
        watch(form);
    }
}
