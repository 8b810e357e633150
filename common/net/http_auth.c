/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bcrypt is slow by design, and clients send their password with every request, so verdicts - yes
 * and no - are remembered under SHA-256(process-random salt, user, password, hash). The two rings
 * are separate: guessing cannot push out the users who are in. An unknown user is checked against
 * somebody else's hash and always fails, so that time does not tell which names exist. The queue
 * to the worker is short; behind it callers get 429 (each address may have a few checks at a
 * time). A job looks into the cache again when its turn comes: a hundred dashboards waiting for
 * the same password cost one bcrypt.
 *
 * A token is random and long, so its plain SHA-256 is what is stored and compared, against every
 * known one.
 */
#include "common/net/http_auth.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "common/base/text.h"
#include "common/net/bcrypt_worker.h"

enum {
	RING = 128,
	QUEUE_MAX = 64,
	DIGEST = 32,
};

struct ring {
	unsigned char digests[RING][DIGEST];
	size_t next, n;
};

struct ops_auth_job {
	struct ops_http_auth *auth;
	TAILQ_ENTRY(ops_auth_job) link;
	char *password, *hash;
	bool known_user;
	unsigned char digest[DIGEST];
	void (*fn)(void *arg, bool yes); /* NULL: cancelled */
	void *arg;
};

struct ops_http_auth {
	struct ops_bcrypt_worker *worker;
	struct ops_timer *turn; /* starts the next job outside of callers' stacks */
	TAILQ_HEAD(, ops_auth_job) queue;
	size_t queued;
	struct ops_auth_job *running;
	struct ring good, bad;
	unsigned char salt[DIGEST];
};

static void wipe(char *s)
{
	if (s != NULL)
		explicit_bzero(s, strlen(s));
	free(s);
}

void ops_credentials_done(struct ops_credentials *c)
{
	free(c->user);
	wipe(c->secret);
	*c = (struct ops_credentials){.scheme = OPS_AUTH_NONE};
}

static void parse_basic(const char *text, struct ops_credentials *ret)
{
	void *data = NULL;
	size_t len = 0;

	if (ops_base64_decode(text, strlen(text), &data, &len) != 0)
		return;
	const char *colon = memchr(data, ':', len);
	if (colon != NULL && memchr(data, '\0', len) == NULL) {
		size_t user_len = (size_t)(colon - (const char *)data);
		ret->scheme = OPS_AUTH_BASIC;
		ret->user = ops_xstrndup(data, user_len);
		ret->secret = ops_xstrndup(colon + 1, len - user_len - 1);
	}
	explicit_bzero(data, len);
	free(data);
}

void ops_credentials_parse(const char *header, struct ops_credentials *ret)
{
	*ret = (struct ops_credentials){.scheme = OPS_AUTH_NONE};
	if (header == NULL)
		return;
	ret->scheme = OPS_AUTH_MALFORMED;
	size_t word = strcspn(header, " ");
	const char *rest = header + word + strspn(header + word, " ");
	if (word == 5 && strncasecmp(header, "Basic", 5) == 0) {
		parse_basic(rest, ret);
	} else if (word == 6 && strncasecmp(header, "Bearer", 6) == 0 && *rest != '\0' &&
		   strchr(rest, ' ') == NULL) {
		ret->scheme = OPS_AUTH_BEARER;
		ret->secret = ops_xstrdup(rest);
	}
}

bool ops_auth_bearer(const struct ops_web_config *w, const char *token, struct ops_identity *ret)
{
	unsigned char digest[DIGEST];
	const struct ops_web_token *found = NULL;

	SHA256((const unsigned char *)token, strlen(token), digest);
	for (size_t i = 0; i < w->ntokens; i++) {
		if (ops_equal_consttime(digest, w->tokens[i].sha256, DIGEST))
			found = &w->tokens[i];
	}
	if (found == NULL)
		return false;
	*ret = (struct ops_identity){.role = found->role, .authenticated = true};
	snprintf(ret->name, sizeof(ret->name), "%s", found->name);
	return true;
}

static bool ring_has(const struct ring *r, const unsigned char *digest)
{
	bool found = false;

	for (size_t i = 0; i < r->n; i++)
		found |= ops_equal_consttime(r->digests[i], digest, DIGEST);
	return found;
}

static void ring_add(struct ring *r, const unsigned char *digest)
{
	memcpy(r->digests[r->next], digest, DIGEST);
	r->next = (r->next + 1) % RING;
	if (r->n < RING)
		r->n++;
}

static void digest_of(const struct ops_http_auth *a, const struct ops_credentials *c,
	const char *hash, unsigned char *ret)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	ops_assert(md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1);
	/* With their NULs, so that no two triples make the same bytes. */
	int ok = EVP_DigestUpdate(md, a->salt, sizeof(a->salt)) &
		 EVP_DigestUpdate(md, c->user, strlen(c->user) + 1) &
		 EVP_DigestUpdate(md, c->secret, strlen(c->secret) + 1) &
		 EVP_DigestUpdate(md, hash, strlen(hash) + 1) & EVP_DigestFinal_ex(md, ret, NULL);
	ops_assert(ok == 1);
	EVP_MD_CTX_free(md);
}

static void job_free(struct ops_auth_job *job)
{
	wipe(job->password);
	free(job->hash);
	free(job);
}

/* The verdict is in: remember it, tell the caller. */
static void job_finish(struct ops_auth_job *job, bool match)
{
	struct ops_http_auth *a = job->auth;
	bool yes = match && job->known_user;

	if (!ring_has(yes ? &a->good : &a->bad, job->digest))
		ring_add(yes ? &a->good : &a->bad, job->digest);
	if (job->fn != NULL)
		job->fn(job->arg, yes);
	job_free(job);
}

static bool answered_by_cache(
	const struct ops_http_auth *a, const unsigned char *digest, bool *ret_yes)
{
	*ret_yes = ring_has(&a->good, digest);
	return *ret_yes || ring_has(&a->bad, digest);
}

static void on_turn(void *arg)
{
	struct ops_http_auth *a = arg;

	while (a->running == NULL && !TAILQ_EMPTY(&a->queue)) {
		struct ops_auth_job *job = TAILQ_FIRST(&a->queue);
		bool yes = false;
		TAILQ_REMOVE(&a->queue, job, link);
		a->queued--;
		if (job->fn == NULL) {
			job_free(job);
		} else if (answered_by_cache(a, job->digest, &yes)) {
			job_finish(job, yes);
		} else {
			a->running = job;
			ops_bcrypt_worker_start(a->worker, job->password, job->hash);
		}
	}
}

static void on_bcrypt(void *arg, bool match)
{
	struct ops_http_auth *a = arg;
	struct ops_auth_job *job = a->running;

	a->running = NULL;
	ops_timer_start(a->turn, 0);
	job_finish(job, match);
}

static const struct ops_web_user *find_user(const struct ops_web_config *w, const char *name)
{
	for (size_t i = 0; i < w->nusers; i++) {
		if (strcmp(w->users[i].name, name) == 0)
			return &w->users[i];
	}
	return NULL;
}

static struct ops_auth_job *enqueue(struct ops_http_auth *a, const struct ops_credentials *c,
	const char *hash, const unsigned char *digest)
{
	struct ops_auth_job *job = ops_xcalloc(1, sizeof(*job));

	job->auth = a;
	job->password = ops_xstrdup(c->secret);
	job->hash = ops_xstrdup(hash);
	memcpy(job->digest, digest, DIGEST);
	TAILQ_INSERT_TAIL(&a->queue, job, link);
	a->queued++;
	ops_timer_start(a->turn, 0);
	return job;
}

enum ops_auth_verdict ops_auth_password(struct ops_http_auth *a, const struct ops_web_config *w,
	const struct ops_credentials *c, struct ops_identity *ret, struct ops_auth_job **ret_job)
{
	const struct ops_web_user *user = find_user(w, c->user);
	const char *hash = user != NULL ? user->hash : w->nusers > 0 ? w->users[0].hash : "";
	unsigned char digest[DIGEST];
	bool yes = false;

	if (w->nusers == 0)
		return OPS_AUTH_NO;
	*ret = (struct ops_identity){
		.role = user != NULL ? user->role : OPS_ROLE_NONE, .authenticated = true};
	snprintf(ret->name, sizeof(ret->name), "%s", c->user);
	digest_of(a, c, hash, digest);
	if (answered_by_cache(a, digest, &yes))
		return yes ? OPS_AUTH_YES : OPS_AUTH_NO;
	if (a->queued >= QUEUE_MAX)
		return OPS_AUTH_BUSY;
	*ret_job = enqueue(a, c, hash, digest);
	(*ret_job)->known_user = user != NULL;
	return OPS_AUTH_LATER;
}

void ops_auth_job_notify(struct ops_auth_job *job, void (*fn)(void *arg, bool yes), void *arg)
{
	job->fn = fn;
	job->arg = arg;
}

void ops_auth_job_cancel(struct ops_auth_job *job)
{
	job->fn = NULL;
}

struct ops_http_auth *ops_http_auth_new(struct ops_loop *loop)
{
	struct ops_http_auth *a = ops_xcalloc(1, sizeof(*a));

	a->worker = ops_bcrypt_worker_new(loop, on_bcrypt, a);
	a->turn = ops_timer_new(loop, on_turn, a);
	TAILQ_INIT(&a->queue);
	ops_random_bytes(a->salt, sizeof(a->salt));
	return a;
}

void ops_http_auth_forget(struct ops_http_auth *a)
{
	explicit_bzero(&a->good, sizeof(a->good));
	explicit_bzero(&a->bad, sizeof(a->bad));
}

void ops_http_auth_free(struct ops_http_auth *a)
{
	if (a == NULL)
		return;
	ops_bcrypt_worker_free(a->worker);
	ops_timer_free(a->turn);
	if (a->running != NULL)
		job_free(a->running);
	while (!TAILQ_EMPTY(&a->queue)) {
		struct ops_auth_job *job = TAILQ_FIRST(&a->queue);
		TAILQ_REMOVE(&a->queue, job, link);
		job_free(job);
	}
	explicit_bzero(a, sizeof(*a));
	free(a);
}
