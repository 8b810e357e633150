/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only thread of ours in common/net. It shares two strings and a verdict with the loop, under
 * one mutex, and touches nothing else: no metrics, no allocation that the loop frees, no libevent.
 * The verdict comes back through an eventfd. What libcrypt refuses (NULL) counts as no match.
 * crypt_rn and not crypt_r: the address sanitizer wraps the latter, and its wrapper finds nothing
 * when the linker left out a library that seemed unneeded.
 */
#include "common/net/bcrypt_worker.h"

#include <crypt.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/text.h"

struct ops_bcrypt_worker {
	void (*fn)(void *arg, bool match);
	void *arg;
	struct ops_watch *watch;
	int fd;
	bool running; /* thread started */
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	char *password, *hash; /* NULL: nothing to do */
	bool stop, match;
};

static bool matches(const char *password, const char *hash, struct crypt_data *data)
{
	memset(data, 0, sizeof(*data));
	const char *made = crypt_rn(password, hash, data, sizeof(*data));
	size_t len = strlen(hash);

	return made != NULL && strlen(made) == len && ops_equal_consttime(made, hash, len);
}

static void wipe(char *s)
{
	explicit_bzero(s, strlen(s));
	free(s);
}

static void check_one(struct ops_bcrypt_worker *w, struct crypt_data *data)
{
	char *password = w->password, *hash = w->hash;

	w->password = w->hash = NULL;
	pthread_mutex_unlock(&w->lock);
	bool match = matches(password, hash, data);
	wipe(password);
	free(hash);
	pthread_mutex_lock(&w->lock);
	w->match = match;
	uint64_t one = 1;
	ops_assert(write(w->fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

static void *run(void *arg)
{
	struct ops_bcrypt_worker *w = arg;
	struct crypt_data *data = ops_xcalloc(1, sizeof(*data)); /* 32 KiB */

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		if (w->password != NULL)
			check_one(w, data);
		else
			pthread_cond_wait(&w->wake, &w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	explicit_bzero(data, sizeof(*data));
	free(data);
	return NULL;
}

static void on_done(int fd, unsigned what, void *arg)
{
	struct ops_bcrypt_worker *w = arg;
	uint64_t count = 0;

	(void)what;
	if (read(fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
		return;
	pthread_mutex_lock(&w->lock);
	bool match = w->match;
	pthread_mutex_unlock(&w->lock);
	w->fn(w->arg, match);
}

struct ops_bcrypt_worker *ops_bcrypt_worker_new(
	struct ops_loop *loop, void (*fn)(void *arg, bool match), void *arg)
{
	struct ops_bcrypt_worker *w = ops_xcalloc(1, sizeof(*w));

	w->fn = fn;
	w->arg = arg;
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ops_assert(w->fd >= 0);
	ops_assert(
		pthread_mutex_init(&w->lock, NULL) == 0 && pthread_cond_init(&w->wake, NULL) == 0);
	w->watch = ops_watch_new(loop, w->fd, OPS_READABLE, on_done, w);
	return w;
}

void ops_bcrypt_worker_free(struct ops_bcrypt_worker *w)
{
	if (w == NULL)
		return;
	if (w->running) {
		pthread_mutex_lock(&w->lock);
		w->stop = true;
		pthread_cond_signal(&w->wake);
		pthread_mutex_unlock(&w->lock);
		pthread_join(w->thread, NULL);
	}
	if (w->password != NULL)
		wipe(w->password);
	free(w->hash);
	ops_watch_free(w->watch);
	close(w->fd);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* Signals belong to the loop's thread. */
static void start_thread(struct ops_bcrypt_worker *w)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ops_assert(pthread_create(&w->thread, NULL, run, w) == 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	w->running = true;
}

void ops_bcrypt_worker_start(struct ops_bcrypt_worker *w, const char *password, const char *hash)
{
	pthread_mutex_lock(&w->lock);
	ops_assert(w->password == NULL);
	w->password = ops_xstrdup(password);
	w->hash = ops_xstrdup(hash);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	if (!w->running)
		start_thread(w);
}
