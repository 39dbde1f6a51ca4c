"""What is in use of the limits that PostgreSQL counts, and what budgets have been spent."""

from django.db.models import BigIntegerField, CharField, DateTimeField, Index, Model

LONGEST_COUNTER = 500


class Lease(Model):
    """What an open call holds of a counter, in PostgreSQL: a place, or a reservation of tokens or money.

    A killed holder's run out by themselves.
    """

    lease_id = CharField(max_length=64)
    counter = CharField(max_length=LONGEST_COUNTER)
    amount = BigIntegerField()
    expires_at = DateTimeField()

    class Meta:
        # No more than these, and none for LIKE: a row is written and deleted with every call.
        indexes = [
            Index(fields=["lease_id"], name="keys_lease_of_call"),
            Index(fields=["counter"], name="keys_lease_of_counter"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of {self.counter}"


class Counter(Model):
    """What has been used in a window of time, in PostgreSQL. May be lost: budgets are kept in SpendWindow."""

    counter = CharField(max_length=LONGEST_COUNTER, primary_key=True)
    used = BigIntegerField(default=0)
    ends_at = DateTimeField(null=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.used} of {self.counter}"


class SpendWindow(Model):
    """What has been spent of one budget in one window: money in units of 1e-10 US dollars, or tokens.

    Written in the transaction that inserts the rows of the calls, so no restart forgets it. `counter` is the name that
    the budget's counter has in this window (`keys.limits`).
    """

    counter = CharField(max_length=LONGEST_COUNTER, primary_key=True)
    used = BigIntegerField(default=0)
    ends_at = DateTimeField(null=True)
    updated_at = DateTimeField()

    class Meta:
        default_permissions = ()
        indexes = [
            Index(fields=["updated_at"], name="keys_spend_updated"),
            Index(fields=["ends_at"], name="keys_spend_ends"),
        ]

    def __str__(self) -> str:
        return f"{self.used} of {self.counter}"
