// Buttons whose answer is put into the page: `data-answer="<id>"` on a form, or on a submit button of one. The form is
// posted with the header X-Fragment, and what comes back takes the place of the element's content. Without this script
// the same forms work by loading a page.
'use strict';
{
    const PATIENCE = 75000; // milliseconds; every answer has a bound of its own on the server

    function say(place, words, kind) {
        const line = document.createElement('p');
        line.className = kind;
        line.textContent = words;
        place.replaceChildren(line);
    }

    function showProgress(place, words) {
        const line = document.createElement('p');
        const bar = document.createElement('progress');
        bar.setAttribute('aria-label', words);
        line.append(bar, ' ', words);
        place.replaceChildren(line);
    }

    async function ask(url, form, submitter, place) {
        const words = (submitter && submitter.dataset.waiting) || 'Waiting for the server…';
        showProgress(place, words);
        place.setAttribute('aria-busy', 'true');
        try {
            const response = await fetch(url, {
                method: 'POST',
                body: new FormData(form),
                headers: {'X-Fragment': '1'},
                redirect: 'manual',
                signal: AbortSignal.timeout(PATIENCE),
            });
            if (response.ok) {
                place.innerHTML = await response.text();
                place.dispatchEvent(new CustomEvent('gateway:content', {bubbles: true}));
            } else if (response.type === 'opaqueredirect' || response.status === 403) {
                say(place, 'You are no longer signed in, or may not do this. Reload the page.', 'errornote');
            } else {
                say(place, `The gateway answered ${response.status}. Try again, or look into its own log.`, 'errornote');
            }
        } catch {
            say(place, 'The gateway does not answer. Try again.', 'errornote');
        }
        place.removeAttribute('aria-busy');
    }

    document.addEventListener('submit', event => {
        const form = event.target, submitter = event.submitter;
        const id = (submitter && submitter.dataset.answer) || form.dataset.answer;
        const place = id && document.getElementById(id);
        if (!place) {
            return;
        }
        event.preventDefault();
        const url = (submitter && submitter.getAttribute('formaction')) || form.action;
        if (submitter) {
            submitter.disabled = true;
        }
        ask(url, form, submitter, place).finally(() => {
            if (submitter) {
                submitter.disabled = false;
            }
        });
    });
}
