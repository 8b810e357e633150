/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads are started when a task finds nobody idle, up to the limit, and stay. They run at a lower
 * priority than the loop (nice is per thread on Linux): under load the samples and the alerts come
 * first. What is shared between the threads and the loop are the two lists under the mutex; the
 * loop is woken by an eventfd. A task's memory passes from one side to the other with the mutex, so
 * it needs no locks of its own.
 */
#include "services/detector/api/worker.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/model/regex.h"

#define LOWER_PRIORITY 5

struct list {
	struct det_task *head, **tail;
};

struct det_pool {
	struct ops_watch *watch;
	int fd;
	unsigned limit;
	pthread_t *threads;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	unsigned nthreads, idle, waiting; /* waiting: tasks in queued */
	struct list queued, finished;
	bool stop;
};

static void list_init(struct list *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

static void list_add(struct list *l, struct det_task *t)
{
	t->next = NULL;
	*l->tail = t;
	l->tail = &t->next;
}

static struct det_task *list_take(struct list *l)
{
	struct det_task *t = l->head;
	l->head = t->next;
	if (l->head == NULL) {
		l->tail = &l->head;
	}
	return t;
}

static void run_one(struct det_pool *p)
{
	struct det_task *t = list_take(&p->queued);
	p->waiting--;
	pthread_mutex_unlock(&p->lock);
	t->run(t);
	pthread_mutex_lock(&p->lock);
	list_add(&p->finished, t);
	uint64_t one = 1;
	ops_assert(write(p->fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

static void *thread_main(void *arg)
{
	struct det_pool *p = arg;
	(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), LOWER_PRIORITY);
	pthread_mutex_lock(&p->lock);
	while (!p->stop || p->queued.head != NULL) {
		if (p->queued.head != NULL) {
			run_one(p);
			continue;
		}
		p->idle++;
		pthread_cond_wait(&p->wake, &p->lock);
		p->idle--;
	}
	pthread_mutex_unlock(&p->lock);
	ops_regex_thread_done();
	return NULL;
}

static void call_done(struct det_pool *p)
{
	pthread_mutex_lock(&p->lock);
	struct det_task *t = p->finished.head;
	list_init(&p->finished);
	pthread_mutex_unlock(&p->lock);
	while (t != NULL) {
		struct det_task *next = t->next;
		t->done(t);
		t = next;
	}
}

static void on_finished(int fd, unsigned what, void *arg)
{
	uint64_t count;
	(void)what;
	if (read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count)) {
		call_done(arg);
	}
}

struct det_pool *det_pool_new(struct ops_loop *loop, unsigned threads)
{
	struct det_pool *p = ops_xcalloc(1, sizeof(*p));
	p->limit = threads;
	p->threads = ops_xcalloc(OPS_MAX(threads, 1u), sizeof(*p->threads));
	list_init(&p->queued);
	list_init(&p->finished);
	p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ops_assert(p->fd >= 0);
	ops_assert(pthread_mutex_init(&p->lock, NULL) == 0);
	ops_assert(pthread_cond_init(&p->wake, NULL) == 0);
	p->watch = ops_watch_new(loop, p->fd, OPS_READABLE, on_finished, p);
	return p;
}

void det_pool_free(struct det_pool *p)
{
	if (p == NULL) {
		return;
	}
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->nthreads; i++) {
		pthread_join(p->threads[i], NULL);
	}
	call_done(p);
	ops_watch_free(p->watch);
	close(p->fd);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p->threads);
	free(p);
}

/* Signals belong to the loop's thread. False: the system has no more threads to give. */
static bool start_thread(struct det_pool *p)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&p->threads[p->nthreads], NULL, thread_main, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	p->nthreads += rc == 0;
	return rc == 0;
}

void det_pool_submit(struct det_pool *p, struct det_task *task)
{
	pthread_mutex_lock(&p->lock);
	bool may_start = p->idle <= p->waiting && p->nthreads < p->limit;
	if ((may_start && start_thread(p)) || p->nthreads > 0) {
		list_add(&p->queued, task);
		p->waiting++;
		pthread_cond_signal(&p->wake);
		pthread_mutex_unlock(&p->lock);
		return;
	}
	list_add(&p->queued, task); /* nobody else takes it */
	p->waiting++;
	run_one(p);
	pthread_mutex_unlock(&p->lock);
}
