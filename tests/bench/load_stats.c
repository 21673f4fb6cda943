/*
 * load_stats.c - histograms, clocks, and what /proc says of the server.
 *
 * A process that is gone counts as nothing: that the server ended shows elsewhere.
 */
#include "config.h"

#include "load.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void
histogram_clear(struct histogram *h)
{
	memset(h, 0, sizeof *h);
}

/* Below 64 ns one bucket each; then 64 to every power of two. */
static size_t
bucket_of(int64_t ns)
{
	uint64_t v = ns > 0 ? (uint64_t)ns : 0;
	unsigned shift;
	size_t at;

	if (v < 64)
		return (size_t)v;
	shift = 57 - (unsigned)__builtin_clzll(v);
	at = 64 * (size_t)shift + (size_t)(v >> shift);
	return at < HISTOGRAM_BUCKETS ? at : HISTOGRAM_BUCKETS - 1;
}

void
histogram_add(struct histogram *h, int64_t ns)
{
	h->n++;
	h->buckets[bucket_of(ns)]++;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

/* The least that falls into bucket `i`. */
static int64_t
bucket_ns(size_t i)
{
	return i < 64 ? (int64_t)i :
	    (int64_t)((i % 64 + 64) << (i / 64 - 1));
}

int64_t
histogram_at(const struct histogram *h, double part)
{
	uint64_t wanted = (uint64_t)(part * (double)h->n), seen = 0;

	if (h->n == 0)
		return 0;
	if (wanted >= h->n)
		wanted = h->n - 1;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen > wanted)
			return bucket_ns(i);
	}
	return h->max_ns;
}

json_t *
histogram_json(const struct histogram *h)
{
	json_t *j = json_object();

	report_number(j, "p50", (double)histogram_at(h, 0.5) / 1000);
	report_number(j, "p99", (double)histogram_at(h, 0.99) / 1000);
	report_number(j, "max", (double)h->max_ns / 1000);
	json_object_set_new(j, "n", json_integer((json_int_t)h->n));
	return j;
}

json_t *
histogram_buckets_json(const struct histogram *h)
{
	json_t *all = json_array();

	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		if (h->buckets[i] > 0)
			json_array_append_new(all, json_pack("[f,I]",
			    (double)bucket_ns(i) / 1000,
			    (json_int_t)h->buckets[i]));
	return all;
}

static int64_t
clock_read(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);	/* these clocks are always there */
	return ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

int64_t
clock_ns(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

int64_t
own_cpu_ns(void)
{
	return clock_read(CLOCK_PROCESS_CPUTIME_ID);
}

static int64_t
first_number(const char *path)
{
	FILE *fp = fopen(path, "r");
	long long v;

	if (fp == NULL)
		return 0;
	if (fscanf(fp, "%lld", &v) != 1)
		v = 0;
	fclose(fp);
	return v;
}

static int64_t
process_cpu_ns(int pid)
{
	char path[300];
	struct dirent *e;
	int64_t sum = 0;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%d/task", pid);
	if ((dir = opendir(path)) == NULL)
		return 0;
	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid,
		    e->d_name);
		sum += first_number(path);
	}
	closedir(dir);
	return sum;
}

int64_t
server_cpu_ns(const struct options *o)
{
	int64_t sum = 0;

	for (size_t i = 0; i < o->pids_n; i++)
		sum += process_cpu_ns(o->pids[i]);
	return sum;
}

/* The number behind `name` in a file of lines, e.g. "Pss:   12 kB". */
static int64_t
number_behind(const char *path, const char *name)
{
	FILE *fp = fopen(path, "r");
	char line[512];
	long long v = 0;

	if (fp == NULL)
		return 0;
	while (fgets(line, sizeof line, fp) != NULL)
		if (strncmp(line, name, strlen(name)) == 0) {
			(void)sscanf(line + strlen(name), " %lld", &v);
			break;
		}
	fclose(fp);
	return v;
}

/* The kilobytes behind a name in a file of each process, as bytes. */
static int64_t
sum_kilobytes(const struct options *o, const char *file, const char *name)
{
	char path[64];
	int64_t sum = 0;

	for (size_t i = 0; i < o->pids_n; i++) {
		snprintf(path, sizeof path, "/proc/%d/%s", o->pids[i], file);
		sum += number_behind(path, name) * 1024;
	}
	return sum;
}

int64_t
server_rss_bytes(const struct options *o)
{
	return sum_kilobytes(o, "smaps_rollup", "Pss:");
}

int64_t
server_rss_quick_bytes(const struct options *o)
{
	return sum_kilobytes(o, "status", "VmRSS:");
}

long
server_descriptors(const struct options *o)
{
	char path[64];
	long n = 0;

	for (size_t i = 0; i < o->pids_n; i++) {
		struct dirent *e;
		DIR *dir;

		snprintf(path, sizeof path, "/proc/%d/fd", o->pids[i]);
		if ((dir = opendir(path)) == NULL)
			continue;
		while ((e = readdir(dir)) != NULL)
			n += e->d_name[0] != '.';
		closedir(dir);
	}
	return n;
}

int64_t
kernel_tcp_bytes(void)
{
	FILE *fp = fopen("/proc/net/sockstat", "r");
	char line[256];
	long long pages = 0;

	if (fp == NULL)
		return 0;
	while (fgets(line, sizeof line, fp) != NULL)
		if (strncmp(line, "TCP:", 4) == 0) {
			const char *mem = strstr(line, " mem ");
			if (mem != NULL)
				(void)sscanf(mem, " mem %lld", &pages);
		}
	fclose(fp);
	return pages * sysconf(_SC_PAGESIZE);
}

int64_t
kernel_slab_bytes(void)
{
	return number_behind("/proc/meminfo", "Slab:") * 1024;
}
