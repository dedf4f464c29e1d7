/* What the program's threads ask for, and how they wait for it. */
#include "guest-agent/dsm/dsm-private.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- the program's threads ---- */

int
dsm_call (CsDsm *dsm, Call *call)
{
  static const uint64_t one = 1;
  pthread_cond_init (&call->condition, NULL);
  pthread_mutex_lock (&dsm->mutex);
  call->next = NULL;
  *dsm->last_call = call;
  dsm->last_call = &call->next;
  ssize_t written = write (dsm->wake_fd, &one, sizeof one);
  (void)written; /* it can only be full, and then wakes as well */
  while (!call->done)
    pthread_cond_wait (&call->condition, &dsm->mutex);
  pthread_mutex_unlock (&dsm->mutex);
  pthread_cond_destroy (&call->condition);
  errno = call->error;
  return call->error == 0 ? 0 : -1;
}

static int
numbered (CsDsm *dsm, int kind, unsigned id, unsigned bound)
{
  if (id >= bound)
    {
      errno = EINVAL;
      return -1;
    }
  Call call = { .kind = kind, .id = id };
  return dsm_call (dsm, &call);
}

int
cs_dsm_lock (CsDsm *dsm, unsigned lock)
{
  return numbered (dsm, CALL_LOCK, lock, CS_DSM_LOCKS);
}

int
cs_dsm_unlock (CsDsm *dsm, unsigned lock)
{
  return numbered (dsm, CALL_UNLOCK, lock, CS_DSM_LOCKS);
}

int
cs_dsm_barrier (CsDsm *dsm, unsigned barrier)
{
  return numbered (dsm, CALL_BARRIER, barrier, CS_DSM_BARRIERS);
}

int
cs_dsm_prepare (CsDsm *dsm)
{
  Call call = { .kind = CALL_PREPARE };
  return dsm_call (dsm, &call);
}

int
cs_dsm_resume (CsDsm *dsm, const char *vm, uint64_t interval)
{
  Call call = { .kind = CALL_RESUME, .vm = vm, .interval = interval };
  return dsm_call (dsm, &call);
}

int
cs_dsm_ready_fd (const CsDsm *dsm)
{
  return dsm->ready_fd;
}

static int64_t
now_ms (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int
cs_dsm_wait_ready (CsDsm *dsm, unsigned ms)
{
  struct pollfd poller = { .fd = dsm->ready_fd, .events = POLLIN };
  int64_t end = now_ms () + ms;
  int n = 0;
  while (__atomic_load_n (&dsm->prepared, __ATOMIC_SEQ_CST))
    {
      int64_t left = end - now_ms ();
      n = poll (&poller, 1, left > 0 ? (int)left : 0);
      if (n != 0 || left <= 0)
        break;
    }
  errno = n > 0 ? EHOSTDOWN : ETIMEDOUT;
  if (!__atomic_load_n (&dsm->prepared, __ATOMIC_SEQ_CST))
    errno = EINVAL;
  return n > 0 && errno == EHOSTDOWN && !__atomic_load_n (&dsm->failed, __ATOMIC_SEQ_CST) ? 0 : -1;
}

size_t
cs_dsm_dependencies (CsDsm *dsm, int which, CsDsmDependency *dependencies, size_t n)
{
  Call call = { .kind = CALL_DEPENDENCIES, .which = which, .out = dependencies, .n = n };
  dsm_call (dsm, &call);
  return call.n;
}

int
cs_dsm_stats (CsDsm *dsm, CsDsmStats *stats)
{
  Call call = { .kind = CALL_STATS, .out = stats };
  return dsm_call (dsm, &call);
}

/* ---- the node's thread ---- */

void
dsm_answer (CsDsm *dsm, Call *call, int error)
{
  pthread_mutex_lock (&dsm->mutex);
  call->error = error;
  call->done = true;
  pthread_cond_signal (&call->condition);
  pthread_mutex_unlock (&dsm->mutex);
}

void
dsm_on_locked (void *data, unsigned lock)
{
  CsDsm *dsm = data;
  Call *call = dsm->locks[lock].first;
  dsm->locks[lock].first = call->next;
  if (call->next == NULL)
    dsm->locks[lock].last = NULL;
  dsm_answer (dsm, call, 0);
}

void
dsm_on_passed (void *data, unsigned barrier)
{
  CsDsm *dsm = data;
  Call *call = dsm->barriers[barrier];
  dsm->barriers[barrier] = NULL;
  dsm_answer (dsm, call, 0);
}

static void
take_lock (CsDsm *dsm, Call *call)
{
  call->next = NULL;
  if (dsm->locks[call->id].last == NULL)
    dsm->locks[call->id].last = &dsm->locks[call->id].first;
  *dsm->locks[call->id].last = call;
  dsm->locks[call->id].last = &call->next;
  if (dsm->locks[call->id].busy)
    return;
  dsm->locks[call->id].busy = true;
  cs_engine_lock (dsm->engine, call->id);
}

/* The lock goes back to its home each time: threads of other nodes wait too. */
static void
give_lock_back (CsDsm *dsm, Call *call)
{
  unsigned lock = call->id;
  if (!cs_engine_unlock (dsm->engine, lock))
    {
      dsm_answer (dsm, call, EPERM);
      return;
    }
  dsm->locks[lock].busy = dsm->locks[lock].first != NULL;
  if (dsm->locks[lock].busy)
    cs_engine_lock (dsm->engine, lock);
  dsm_answer (dsm, call, 0);
}

static void
arrive (CsDsm *dsm, Call *call)
{
  if (dsm->barriers[call->id] != NULL)
    {
      dsm_answer (dsm, call, EBUSY);
      return;
    }
  dsm->barriers[call->id] = call;
  cs_engine_arrive (dsm->engine, call->id);
}

static void
resume (CsDsm *dsm, Call *call)
{
  uint64_t count;
  cs_engine_identify (dsm->engine, call->vm, call->interval);
  memcpy (dsm->name, cs_engine_vm (dsm->engine, dsm->options.node), CS_DSM_NAME);
  __atomic_store_n (&dsm->prepared, false, __ATOMIC_SEQ_CST);
  dsm->ready = false;
  ssize_t n = read (dsm->ready_fd, &count, sizeof count);
  (void)n; /* it was not ready */
  cs_engine_thaw (dsm->engine);
  dsm_answer (dsm, call, 0);
}

static void
tell_stats (CsDsm *dsm, CsDsmStats *stats)
{
  CsEngineCounts counts;
  cs_engine_counts (dsm->engine, &counts);
  *stats = (CsDsmStats){
    .read_faults = counts.read_faults,
    .write_faults = counts.write_faults,
    .pages_in = counts.pages_in,
    .pages_out = counts.pages_out,
    .invalidated = counts.invalidated,
    .transfers = cs_engine_transfers (dsm->engine),
    .rejected = dsm->rejected,
  };
  for (unsigned i = 0; i < dsm->options.nodes; i++)
    if (dsm->links[i] != NULL)
      {
        CsLinkCounts link;
        cs_link_counts (dsm->links[i], &link);
        stats->sent[i] = link.sent;
        stats->acknowledged[i] = link.acknowledged;
        stats->received[i] = link.received;
        stats->rejected += link.rejected;
        stats->reconnects += link.connections > 0 ? link.connections - 1 : 0;
      }
}

/* What needs no peer works on after one is lost. */
static bool
take_local (CsDsm *dsm, Call *call)
{
  switch (call->kind)
    {
    case CALL_DEPENDENCIES:
      call->n = cs_engine_dependencies (dsm->engine, call->which, call->out, call->n);
      break;
    case CALL_STATS:
      tell_stats (dsm, call->out);
      break;
    case CALL_CLOSE:
      dsm->closing = call;
      return true;
    default:
      return false;
    }
  dsm_answer (dsm, call, 0);
  return true;
}

static void
take_call (CsDsm *dsm, Call *call)
{
  if (take_local (dsm, call))
    return;
  if (dsm->failed)
    {
      dsm_answer (dsm, call, EHOSTDOWN);
      return;
    }
  switch (call->kind)
    {
    case CALL_OPEN:
      dsm->opening = call;
      break;
    case CALL_LOCK:
      take_lock (dsm, call);
      break;
    case CALL_UNLOCK:
      give_lock_back (dsm, call);
      break;
    case CALL_BARRIER:
      arrive (dsm, call);
      break;
    case CALL_PREPARE:
      __atomic_store_n (&dsm->prepared, true, __ATOMIC_SEQ_CST);
      cs_engine_freeze (dsm->engine);
      dsm_answer (dsm, call, 0);
      break;
    default:
      resume (dsm, call);
    }
}

void
dsm_take_calls (CsDsm *dsm)
{
  uint64_t count;
  ssize_t n = read (dsm->wake_fd, &count, sizeof count);
  (void)n;
  pthread_mutex_lock (&dsm->mutex);
  Call *calls = dsm->calls;
  dsm->calls = NULL;
  dsm->last_call = &dsm->calls;
  pthread_mutex_unlock (&dsm->mutex);
  for (Call *next; calls != NULL; calls = next)
    {
      next = calls->next;
      take_call (dsm, calls);
    }
}

void
dsm_fail_calls (CsDsm *dsm)
{
  if (dsm->opening != NULL)
    dsm_answer (dsm, dsm->opening, EHOSTDOWN);
  dsm->opening = NULL;
  for (unsigned i = 0; i < CS_DSM_LOCKS; i++)
    {
      for (Call *next, *call = dsm->locks[i].first; call != NULL; call = next)
        {
          next = call->next;
          dsm_answer (dsm, call, EHOSTDOWN);
        }
      dsm->locks[i].first = NULL;
      dsm->locks[i].last = NULL;
    }
  for (unsigned i = 0; i <= CS_DSM_BARRIERS; i++)
    if (dsm->barriers[i] != NULL)
      {
        dsm_answer (dsm, dsm->barriers[i], EHOSTDOWN);
        dsm->barriers[i] = NULL;
      }
}
