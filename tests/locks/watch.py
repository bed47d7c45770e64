"""What the server itself says of locks while exports run."""

from __future__ import annotations

import threading
from typing import Any

from examples.private_server import PrivateServer

#: Whoever looks more often than ten times a second gets what was there at the first look.
_SECONDS = 0.15
#: The transactions of an account, with the locks that they hold.
_HELD = (
    "SELECT t.trx_rows_locked + t.trx_tables_locked FROM information_schema.INNODB_TRX t"
    " JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id WHERE p.USER = %s"
)


class LockWatch:
    """Looks every now and then at the transactions of an account; a context manager.

    `waits` is how often any statement of anybody waited for a row lock, by the server's own count, `seen` how many
    looks found a transaction of the account, `held` the most locks that one of these held.
    """

    def __init__(self, server: PrivateServer, user: str) -> None:
        self.seen = 0
        self.held = 0
        self.waits = 0
        self._server = server
        self._user = user
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> LockWatch:
        self.waits = -self._count()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.waits += self._count()

    def _count(self) -> int:
        ((_, number),) = self._server.rows("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_waits'")
        return int(number)

    def _look(self) -> None:
        connection: Any = self._server.connect(autocommit=True)
        with connection, connection.cursor() as cursor:
            while not self._done.wait(_SECONDS):
                cursor.execute(_HELD, (self._user,))
                for (locks,) in cursor.fetchall():
                    self.seen += 1
                    self.held = max(self.held, int(locks))
