// Live parts: `data-live="<url>" data-every="<seconds>"` is fetched again and again, and replaced where it changed.
// It rests while the page is hidden, while somebody works in it, and says when it could not be refreshed.
'use strict';
{
    const SLOWEST = 60; // seconds between tries when the gateway does not answer

    class Live {
        constructor(element) {
            this.element = element;
            this.every = Number(element.dataset.every) || 5;
            this.failures = 0;
            this.last = null;
            this.note = null;
            this.schedule();
        }

        schedule() {
            clearTimeout(this.timer);
            const wait = Math.min(this.every * 2 ** this.failures, Math.max(SLOWEST, this.every));
            this.timer = setTimeout(() => this.refresh(), wait * 1000);
        }

        async refresh() {
            if (!this.element.isConnected) {
                return;
            }
            if (!document.hidden && !this.isBusy()) {
                await this.fetch();
            }
            this.schedule();
        }

        // What somebody reads by keyboard, has opened or has selected is not taken away under their hands.
        isBusy() {
            const selection = window.getSelection();
            return this.element.contains(document.activeElement) || this.element.querySelector('details[open]') !== null
                || (selection && !selection.isCollapsed && this.element.contains(selection.anchorNode));
        }

        async fetch() {
            try {
                const response = await fetch(this.element.dataset.live, {
                    headers: {'X-Requested-With': 'XMLHttpRequest'},
                    signal: AbortSignal.timeout(20000),
                    redirect: 'manual',
                });
                if (response.type === 'opaqueredirect' || response.status === 401 || response.status === 403) {
                    this.say('Not refreshed: you are no longer signed in, or may no longer see this. Reload the page.');
                } else if (response.ok) {
                    this.show(await response.text());
                } else {
                    this.say(`Not refreshed: the gateway answered ${response.status}.`);
                }
            } catch {
                this.say('Not refreshed: the gateway does not answer.');
            }
        }

        show(html) {
            this.failures = 0;
            this.note?.remove();
            this.note = null;
            this.element.removeAttribute('data-stale');
            if (html !== this.last) {
                this.last = html;
                this.element.innerHTML = html;
                this.element.dispatchEvent(new CustomEvent('gateway:content', {bubbles: true}));
            }
        }

        say(words) {
            this.failures += 1;
            this.element.dataset.stale = '';
            if (!this.note) {
                this.note = document.createElement('p');
                this.note.className = 'stale-note';
                this.note.setAttribute('role', 'status');
                this.element.before(this.note);
            }
            this.note.textContent = words;
        }
    }

    const parts = [...document.querySelectorAll('[data-live]')].map(element => new Live(element));
    document.addEventListener('visibilitychange', () => {
        if (!document.hidden) {
            parts.forEach(part => part.refresh());
        }
    });
}
