/* Connections from nobody knows whom, until their HELLO has come. */
#define _GNU_SOURCE
#include "guest-agent/dsm/dsm-private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void
dismiss (CsDsm *dsm, Stranger *stranger, const char *why)
{
  close (stranger->fd);
  stranger->fd = -1;
  dsm->rejected++;
  dsm_report (dsm, CS_DSM_NODES, why);
}

/* When all places are taken the oldest gives way: nobody can keep the peers out by saying nothing.
 */
void
strangers_accept (CsDsm *dsm)
{
  int fd = accept4 (dsm->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0)
    return;
  Stranger *place = &dsm->strangers[0];
  for (unsigned i = 0; i < DSM_STRANGERS; i++)
    {
      Stranger *stranger = &dsm->strangers[i];
      if (stranger->fd < 0)
        {
          place = stranger;
          break;
        }
      if (stranger->age > place->age)
        place = stranger;
    }
  if (place->fd >= 0)
    dismiss (dsm, place, "ended a connection that did not say who it is: too many came");
  place->fd = fd;
  place->age = 0;
  place->n = 0;
}

static void
hand_over (CsDsm *dsm, Stranger *stranger, const CsFrame *frame, size_t n)
{
  unsigned node = frame->hello.node;
  /* Only higher nodes connect. */
  if (frame->kind != CS_WIRE_HELLO || node <= dsm->options.node || node >= dsm->options.nodes)
    {
      dismiss (dsm, stranger, "ended a connection that is of no node that should make one");
      return;
    }
  int fd = stranger->fd;
  stranger->fd = -1;
  cs_link_accept (dsm->links[node], fd, frame, stranger->bytes + n, stranger->n - n);
}

void
strangers_read (CsDsm *dsm, Stranger *stranger)
{
  ssize_t n = recv (stranger->fd, stranger->bytes + stranger->n,
                    sizeof stranger->bytes - stranger->n, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0)
    {
      close (stranger->fd);
      stranger->fd = -1;
      return;
    }
  stranger->n += (size_t)n;
  CsFrame frame;
  const char *why = NULL;
  long length =
      cs_wire_parse (stranger->bytes, stranger->n, dsm->options.nodes, dsm->pages, &frame, &why);
  if (length < 0)
    {
      char text[160];
      snprintf (text, sizeof text, "ended a connection whose first frame is malformed: %s", why);
      dismiss (dsm, stranger, text);
    }
  else if (length > 0)
    hand_over (dsm, stranger, &frame, (size_t)length);
}

void
strangers_tick (CsDsm *dsm, unsigned elapsed)
{
  for (unsigned i = 0; i < DSM_STRANGERS; i++)
    {
      Stranger *stranger = &dsm->strangers[i];
      if (stranger->fd >= 0 && (stranger->age += elapsed) > DSM_STRANGER_MS)
        dismiss (dsm, stranger, "ended a connection that did not say who it is");
    }
}
