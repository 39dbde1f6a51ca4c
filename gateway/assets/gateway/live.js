// Live parts: `data-live="<url>" data-every="<seconds>"` is fetched again and again, and replaced where it changed.
// It rests while the page is hidden, and changes nothing under the hands of somebody who works in it. When nothing
// comes, one line says since when, and tries go on.
'use strict';
{
    const SLOWEST = 30; // seconds between tries when the gateway does not answer
    const PATIENCE = 10000; // milliseconds
    const SIGNED_OUT = 'No longer brought up to date: you are not signed in any more, or may no longer see this. Reload the page.';
    const clock = new Intl.DateTimeFormat(undefined, {hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23'});
    const AWAY = new Set([502, 503, 504]); // the relay says that the control plane does not answer

    let heard = new Date(); // when the gateway last answered any of the parts
    let answers = 0; // how often it did
    let isLost = false;

    // Notes by their words: parts that have the same to say share one, before the first of them.
    const notes = {
        parts: new Map(),

        set(part, words) {
            if (this.parts.get(part)?.words === words) {
                return;
            }
            this.clear(part);
            const shared = [...this.parts.values()].find(note => note.words === words);
            const note = shared ?? {words, element: document.createElement('p')};
            this.parts.set(part, note);
            if (!shared) {
                note.element.className = 'stale-note';
                note.element.setAttribute('role', 'status');
                part.element.before(note.element);
                note.element.textContent = words;
            }
        },

        clear(part) {
            const note = this.parts.get(part);
            this.parts.delete(part);
            if (note && ![...this.parts.values()].includes(note)) {
                note.element.remove();
            }
        },
    };

    class Live {
        constructor(element) {
            this.element = element;
            this.every = Number(element.dataset.every) || 5;
            this.failures = 0;
            this.last = null;
            this.isAsking = false;
            this.heard = new Date();
            this.schedule();
        }

        schedule() {
            clearTimeout(this.timer);
            const wait = Math.min(this.every * 2 ** this.failures, Math.max(SLOWEST, this.every));
            this.timer = setTimeout(() => this.refresh(), wait * 1000);
        }

        async refresh() {
            if (!this.element.isConnected || this.isAsking) {
                return;
            }
            this.isAsking = true;
            if (!document.hidden) {
                await this.fetch();
            }
            this.isAsking = false;
            this.schedule();
        }

        // What somebody reads by keyboard, has opened or has selected is not taken away under their hands.
        isBusy() {
            const selection = window.getSelection();
            return this.element.contains(document.activeElement) || this.element.querySelector('details[open]') !== null
                || (selection && !selection.isCollapsed && this.element.contains(selection.anchorNode));
        }

        async fetch() {
            const before = answers;
            try {
                const response = await fetch(this.element.dataset.live, {
                    headers: {'X-Requested-With': 'XMLHttpRequest'},
                    signal: AbortSignal.timeout(PATIENCE),
                    redirect: 'manual',
                });
                if (response.type === 'opaqueredirect' || response.status === 401 || response.status === 403) {
                    this.miss(SIGNED_OUT);
                } else if (response.ok) {
                    this.show(await response.text());
                } else if (AWAY.has(response.status)) {
                    this.lose(before);
                } else {
                    this.miss(`Not brought up to date: the gateway answered ${response.status}; trying again.`);
                }
            } catch {
                this.lose(before);
            }
        }

        show(html) {
            answers += 1;
            heard = this.heard = new Date();
            this.failures = 0;
            notes.clear(this);
            this.element.removeAttribute('data-stale');
            if (html !== this.last && !this.isBusy()) {
                this.last = html;
                this.element.innerHTML = html;
                this.element.dispatchEvent(new CustomEvent('gateway:content', {bubbles: true}));
            }
            if (isLost) { // it is back: nobody waits for the next try
                isLost = false;
                parts.filter(part => part.failures).forEach(part => part.refresh());
            }
        }

        lose(before) {
            if (answers !== before) { // others were answered meanwhile: this part alone is slow
                this.miss(`Not brought up to date since ${clock.format(this.heard)}; trying again.`);
                return;
            }
            isLost = true;
            this.miss(`No news since ${clock.format(heard)}; trying again.`);
        }

        miss(words) {
            this.failures += 1;
            this.element.dataset.stale = '';
            notes.set(this, words);
        }
    }

    const parts = [...document.querySelectorAll('[data-live]')].map(element => new Live(element));
    const refreshAll = () => document.hidden || parts.forEach(part => part.refresh());
    document.addEventListener('visibilitychange', refreshAll);
    window.addEventListener('online', refreshAll);
}
