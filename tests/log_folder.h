/*
 * log_folder.h - a folder of its own for a log, and no trace of it afterwards.
 */
#ifndef LOG_FOLDER_H
#define LOG_FOLDER_H

#define LOG_FOLDER_SIZE	64
#define LOG_PATH_SIZE	96

void	log_folder_make(char dir[LOG_FOLDER_SIZE], char path[LOG_PATH_SIZE]);
void	log_remove(const char *path);		/* the database and what is beside it */
void	log_folder_remove(const char *dir, const char *path);

#endif
