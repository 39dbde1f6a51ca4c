// The form of whatever has limits: finds a model among many, says what is chosen, and warns of a budget that counts
// nothing. Without it the form works as it is.
'use strict';
{
    const MANY = 8;

    // As keys/patterns.py reads a pattern: `*` stands for any characters.
    function fits(pattern, name) {
        const parts = pattern.split('*').map(part => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
        return new RegExp(`^${parts.join('.*')}$`, 's').test(name);
    }

    function chosen(picker) {
        const ticked = [...picker.querySelectorAll('input[type=checkbox]:checked')].map(box => box.value);
        const typed = picker.querySelector('textarea').value.split('\n').map(line => line.trim()).filter(Boolean);
        return {ticked, typed, all: [...ticked, ...typed]};
    }

    function words({ticked, typed, all}, known) {
        if (!all.length) {
            return 'Nothing chosen means every model, those that are added later too.';
        }
        const matching = known.filter(box => all.some(pattern => fits(pattern, box.value)));
        const beside = typed.length ? `, ${typed.length} by name or pattern` : '';
        const none = matching.length ? '' : ' None of them is there now.';
        return `Only what is chosen: ${ticked.length} ticked${beside}. That is ${matching.length} of the ${known.length} models there are.${none}`;
    }

    function hasBudget(form) {
        const filled = name => form.querySelector(`[name="${name}"]`)?.value.trim();
        if (Number(filled('max_budget') || NaN) === 0) {
            return false; // spent from the beginning: it waits for no price
        }
        return ['max_budget', 'soft_budget', 'budget_limits', 'model_max_budget'].some(filled);
    }

    function watch(picker) {
        const form = picker.closest('form');
        const known = [...picker.querySelectorAll('input[type=checkbox]')];
        const told = picker.querySelector('[data-models-told]');
        const warning = form.querySelector('[data-price-warning]');
        const show = () => {
            const choice = chosen(picker);
            told.textContent = words(choice, known);
            const usable = known.filter(box => !choice.all.length || choice.all.some(one => fits(one, box.value)));
            if (warning) {
                warning.hidden = !hasBudget(form) || usable.some(box => box.hasAttribute('data-priced'));
            }
        };
        told.setAttribute('role', 'status');
        form.addEventListener('input', show);
        show();
        if (known.length > MANY) {
            addFinder(picker, known);
        }
    }

    function addFinder(picker, known) {
        const finder = document.createElement('input');
        finder.type = 'search';
        finder.className = 'models-find';
        finder.placeholder = 'Find a model';
        finder.setAttribute('aria-label', 'Find a model');
        finder.addEventListener('input', event => {
            event.stopPropagation();
            const part = finder.value.trim().toLowerCase();
            for (const box of known) {
                box.closest('li').hidden = !box.value.toLowerCase().includes(part);
            }
        });
        // Enter here looks for a model; it does not send the form.
        finder.addEventListener('keydown', event => {
            if (event.key === 'Enter') {
                event.preventDefault();
            }
        });
        picker.querySelector('.models-known').before(finder);
    }

    document.addEventListener('DOMContentLoaded', () => {
        document.querySelectorAll('[data-models]').forEach(watch);
    });
}
