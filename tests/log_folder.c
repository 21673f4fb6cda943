/*
 * log_folder.c - see log_folder.h.
 */
#include "config.h"

#include "log_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "suite.h"

void
log_folder_make(char dir[LOG_FOLDER_SIZE], char path[LOG_PATH_SIZE])
{
	snprintf(dir, LOG_FOLDER_SIZE, "/tmp/fanfare-log-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, LOG_PATH_SIZE, "%s/log.db", dir);
}

void
log_remove(const char *path)
{
	static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
	char name[LOG_PATH_SIZE + 8];

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
}

void
log_folder_remove(const char *dir, const char *path)
{
	log_remove(path);
	rmdir(dir);
}
