// SQLite's own interface, and the calls that Swift cannot write.
#pragma once

#if __has_include(<sqlite3.h>)
#include <sqlite3.h>
#else
#error "SQLite's header is needed to build Swan (Debian, Ubuntu: apt install libsqlite3-dev)."
#endif

/// sqlite3_bind_text with SQLITE_TRANSIENT, a cast that Swift does not import: SQLite keeps a copy.
int swan_sqlite_bind_text(sqlite3_stmt *statement, int index, const char *text, int bytes);
