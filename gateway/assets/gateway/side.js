// The side menu: its groups can be folded, and all of it on a desk; both stay so in this browser. The group of the page
// that is shown is always open. Runs while the page is still being read, so that nothing is seen to move. Without it
// everything is open.
'use strict';
{
    const IS_OPEN = 'django.admin.navSidebarIsOpen'; // Django's own name for it, and its words: true, false
    const FOLDED = 'gateway.side.folded';

    // A browser may keep nothing for us: then everything works, and is forgotten with the page.
    function kept(name) {
        try {
            return localStorage.getItem(name);
        } catch {
            return null;
        }
    }

    function keep(name, value) {
        try {
            localStorage.setItem(name, value);
        } catch {
            // Nothing is lost but a habit.
        }
    }

    function foldedGroups() {
        try {
            const names = JSON.parse(kept(FOLDED) ?? '[]');
            return new Set(Array.isArray(names) ? names : []);
        } catch {
            return new Set();
        }
    }

    function keepFolded(name, isFolded) {
        const names = foldedGroups(); // anew: another tab may have changed them
        names[isFolded ? 'add' : 'delete'](name);
        keep(FOLDED, JSON.stringify([...names]));
    }

    function makeFoldable(heading, isFolded) {
        const list = heading.nextElementSibling, button = document.createElement('button');
        const name = heading.textContent;
        const show = folded => {
            list.hidden = folded;
            button.setAttribute('aria-expanded', String(!folded));
        };
        button.type = 'button';
        button.className = 'side-heading';
        button.textContent = name;
        button.setAttribute('aria-controls', list.id);
        button.addEventListener('click', () => {
            keepFolded(name, !list.hidden);
            show(!list.hidden);
        });
        heading.replaceChildren(button);
        show(isFolded);
    }

    function showSide(button, isOpen) {
        document.documentElement.toggleAttribute('data-side-closed', !isOpen);
        button.setAttribute('aria-expanded', String(isOpen));
        button.title = isOpen ? 'Hide the side menu' : 'Show the side menu';
    }

    const folded = foldedGroups();
    for (const heading of document.querySelectorAll('.side-group > h2')) {
        if (!heading.parentElement.querySelector('[aria-current]')) {
            makeFoldable(heading, folded.has(heading.textContent));
        }
    }
    const button = document.querySelector('.side-fold');
    button.hidden = false;
    showSide(button, kept(IS_OPEN) !== 'false');
    button.addEventListener('click', () => {
        const isOpen = button.getAttribute('aria-expanded') !== 'true';
        keep(IS_OPEN, String(isOpen));
        showSide(button, isOpen);
    });
}
