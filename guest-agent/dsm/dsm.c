/* Opening and closing a node. */
#define _GNU_SOURCE
#include "guest-agent/dsm/dsm-private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- what engine and links see of the node ---- */

static void
on_send (void *data, unsigned to, const CsFrame *frame)
{
  CsDsm *dsm = data;
  CsFrame copy = *frame;
  /* Who prepares waits for the acknowledgement. */
  if (dsm->prepared)
    copy.flags |= CS_WIRE_ACK_NOW;
  cs_link_send (dsm->links[to], &copy);
}

static void
on_install (void *data, uint32_t page, const uint8_t *content, bool writable)
{
  cs_region_install (((CsDsm *)data)->region, page, content, writable);
}

static void
on_allow (void *data, uint32_t page)
{
  cs_region_allow (((CsDsm *)data)->region, page);
}

static void
on_protect (void *data, uint32_t page)
{
  cs_region_protect (((CsDsm *)data)->region, page);
}

static void
on_drop (void *data, uint32_t page)
{
  cs_region_drop (((CsDsm *)data)->region, page);
}

static void
on_read (void *data, uint32_t page, uint8_t *content)
{
  cs_region_read (((CsDsm *)data)->region, page, content);
}

static void
on_wake (void *data, uint32_t page)
{
  cs_region_wake (((CsDsm *)data)->region, page);
}

static const CsEngineOutside outside = {
  on_send, on_install, on_allow,      on_protect,    on_drop,
  on_read, on_wake,    dsm_on_locked, dsm_on_passed,
};

static bool
on_receive (void *data, unsigned from, const CsFrame *frame)
{
  CsDsm *dsm = data;
  return dsm->failed || cs_engine_receive (dsm->engine, from, frame);
}

static const char *
on_violation (void *data)
{
  return cs_engine_violation (((CsDsm *)data)->engine);
}

static void
on_acknowledged (void *data, unsigned from, uint64_t interval)
{
  cs_engine_acknowledged (((CsDsm *)data)->engine, from, interval);
}

static uint64_t
on_interval (void *data)
{
  return cs_engine_interval (((CsDsm *)data)->engine);
}

static void
on_named (void *data, unsigned from, const char *name)
{
  cs_engine_name (((CsDsm *)data)->engine, from, name);
}

static void
on_report (void *data, unsigned peer, const char *what)
{
  dsm_report (data, peer, what);
}

/* ---- open ---- */

static bool
fits (const CsDsmOptions *options, char *why, size_t size)
{
  const char *what = NULL;
  if (options->nodes == 0 || options->nodes > CS_DSM_NODES || options->node >= options->nodes)
    what = "there can be 1 to 64 nodes, numbered from 0";
  else if (options->size == 0 || options->size > (size_t)CS_DSM_PAGES * CS_DSM_PAGE)
    what = "the size must be between 1 byte and 4 GiB";
  else if (options->silence_ms < 3 * CS_LINK_TICK || options->hold_us > 1000000)
    what = "silence must be at least 300 ms, hold at most a second";
  if (what == NULL)
    return true;
  snprintf (why, size, "%s", what);
  errno = EINVAL;
  return false;
}

static bool
listen_here (CsDsm *dsm, char *why, size_t size)
{
  int one = 1;
  const struct sockaddr_in *address = &dsm->addresses[dsm->options.node];
  if (dsm->options.nodes == 1)
    return true;
  dsm->listener = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (dsm->listener >= 0
      && setsockopt (dsm->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0
      && bind (dsm->listener, (const struct sockaddr *)address, sizeof *address) == 0
      && listen (dsm->listener, CS_DSM_NODES) == 0)
    return true;
  snprintf (why, size, "cannot listen at this node's own address: %s", strerror (errno));
  return false;
}

static void
dsm_free (CsDsm *dsm)
{
  int saved = errno;
  for (unsigned i = 0; i < CS_DSM_NODES; i++)
    cs_link_free (dsm->links[i]);
  for (unsigned i = 0; i < DSM_STRANGERS; i++)
    if (dsm->strangers[i].fd >= 0)
      close (dsm->strangers[i].fd);
  cs_engine_free (dsm->engine);
  cs_region_free (dsm->region);
  if (dsm->listener >= 0)
    close (dsm->listener);
  if (dsm->wake_fd >= 0)
    close (dsm->wake_fd);
  if (dsm->ready_fd >= 0)
    close (dsm->ready_fd);
  pthread_mutex_destroy (&dsm->mutex);
  free (dsm);
  errno = saved;
}

static CsDsm *
dsm_new (const CsDsmOptions *options)
{
  CsDsm *dsm = calloc (1, sizeof *dsm);
  if (dsm == NULL)
    return NULL;
  dsm->options = *options;
  dsm->pages = (uint32_t)((options->size + CS_DSM_PAGE - 1) / CS_DSM_PAGE);
  dsm->listener = -1;
  dsm->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  dsm->ready_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  dsm->last_call = &dsm->calls;
  for (unsigned i = 0; i < DSM_STRANGERS; i++)
    dsm->strangers[i].fd = -1;
  pthread_mutex_init (&dsm->mutex, NULL);
  dsm->engine = cs_engine_new (options->node, options->nodes, dsm->pages, options->home_block,
                               options->hold_us, &outside, dsm);
  dsm->shared = (CsLinkShared){
    .node = options->node,
    .nodes = options->nodes,
    .pages = dsm->pages,
    .block = options->home_block,
    .silence_ms = options->start_ms,
    .name = dsm->name,
    .data = dsm,
    .receive = on_receive,
    .violation = on_violation,
    .acknowledged = on_acknowledged,
    .interval = on_interval,
    .named = on_named,
    .report = on_report,
  };
  return dsm;
}

static bool
set_up (CsDsm *dsm, char *why, size_t size)
{
  const char *what = "no memory";
  const CsDsmOptions *options = &dsm->options;
  if (dsm_addresses (options, dsm->addresses, why, size) < 0)
    {
      errno = EINVAL;
      return false;
    }
  for (unsigned i = 0; i < options->nodes; i++)
    if (i != options->node)
      dsm->links[i] = cs_link_new (i, &dsm->addresses[i], &dsm->shared);
  if (options->vm != NULL && dsm->engine != NULL)
    {
      cs_engine_name (dsm->engine, options->node, options->vm);
      memcpy (dsm->name, cs_engine_vm (dsm->engine, options->node), CS_DSM_NAME);
    }
  while (dsm->shared.incarnation == 0)
    if (getrandom (&dsm->shared.incarnation, sizeof dsm->shared.incarnation, 0) < 0)
      return false;
  if (dsm->engine == NULL || dsm->wake_fd < 0 || dsm->ready_fd < 0
      || (dsm->region = cs_region_new (dsm->pages, &what)) == NULL)
    {
      snprintf (why, size, "%s: %s", what, strerror (errno));
      return false;
    }
  return listen_here (dsm, why, size);
}

CsDsm *
cs_dsm_open (const CsDsmOptions *options, char *why, size_t why_size)
{
  snprintf (why, why_size, "no memory");
  if (!fits (options, why, why_size))
    return NULL;
  CsDsm *dsm = dsm_new (options);
  if (dsm == NULL)
    return NULL;
  if (!set_up (dsm, why, why_size)
      || (errno = pthread_create (&dsm->thread, NULL, dsm_run, dsm)) != 0)
    {
      dsm_free (dsm);
      return NULL;
    }
  Call call = { .kind = CALL_OPEN };
  if (dsm_call (dsm, &call) == 0)
    return dsm;
  snprintf (why, why_size, "%s", dsm->lost);
  cs_dsm_close (dsm);
  errno = ETIMEDOUT;
  return NULL;
}

int
cs_dsm_close (CsDsm *dsm)
{
  Call arrive = { .kind = CALL_BARRIER, .id = DSM_CLOSE };
  Call end = { .kind = CALL_CLOSE };
  int result = dsm_call (dsm, &arrive);
  if (dsm->stop_participating != NULL)
    dsm->stop_participating (dsm->participation);
  if (dsm_call (dsm, &end) < 0)
    result = -1;
  int saved = errno;
  pthread_join (dsm->thread, NULL);
  dsm_free (dsm);
  errno = result < 0 ? EHOSTDOWN : saved;
  return result;
}

void *
cs_dsm_memory (const CsDsm *dsm)
{
  return cs_region_memory (dsm->region);
}

size_t
cs_dsm_size (const CsDsm *dsm)
{
  return (size_t)dsm->pages * CS_DSM_PAGE;
}
