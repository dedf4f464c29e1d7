/* Between the files that make a node of engine, region and links. */
#ifndef CS_DSM_PRIVATE_H
#define CS_DSM_PRIVATE_H

#include "guest-agent/dsm/engine.h"
#include "guest-agent/dsm/link.h"
#include "guest-agent/dsm/region.h"

#include <pthread.h>

#define DSM_CLOSE CS_DSM_BARRIERS /* the barrier at which all close */
#define DSM_STRANGERS 8           /* connections whose HELLO has not come */
#define DSM_STRANGER_MS 5000

/* What a thread of the program asks of the node's thread. */
enum
{
  CALL_OPEN, /* wait until all peers are connected */
  CALL_LOCK,
  CALL_UNLOCK,
  CALL_BARRIER,
  CALL_PREPARE,
  CALL_RESUME,
  CALL_DEPENDENCIES,
  CALL_STATS,
  CALL_CLOSE,
};

/* On the caller's stack until `done`. */
typedef struct Call Call;
struct Call
{
  Call *next;
  int kind, which;
  unsigned id;
  const char *vm;
  uint64_t interval;
  void *out;
  size_t n;
  int error; /* errno, 0 */
  bool done;
  pthread_cond_t condition;
};

typedef struct
{
  int fd;
  unsigned age;
  size_t n;
  uint8_t bytes[CS_WIRE_MAX];
} Stranger;

struct CsDsm
{
  /* immutable */
  CsDsmOptions options;
  struct sockaddr_in addresses[CS_DSM_NODES];
  uint32_t pages;
  CsRegion *region;
  int listener, wake_fd, ready_fd;
  pthread_t thread;
  pthread_mutex_t mutex;

  /* under mutex */
  Call *calls, **last_call;

  /* any thread, atomically */
  bool prepared, failed;

  /* the node's thread only */
  CsEngine *engine;
  CsLink *links[CS_DSM_NODES];
  CsLinkShared shared;
  char name[CS_DSM_NAME];
  Stranger strangers[DSM_STRANGERS];
  struct
  {
    Call *first, **last;
    bool busy; /* asked for or held */
  } locks[CS_DSM_LOCKS];
  Call *barriers[CS_DSM_BARRIERS + 1];
  Call *opening, *closing;
  bool ready, said_bye, ended;
  unsigned linger;
  uint64_t rejected;
  int64_t last_tick;
  char lost[300], reported[400]; /* reported: the last line */

  /* participate.c */
  void (*stop_participating) (void *participation);
  void *participation;
};

/* options.c */
int dsm_addresses (const CsDsmOptions *options, struct sockaddr_in *addresses, char *why,
                   size_t size);

/* calls.c */
int dsm_call (CsDsm *dsm, Call *call);               /* any thread: waits; 0 or -1 with errno */
void dsm_answer (CsDsm *dsm, Call *call, int error); /* the node's thread */
void dsm_take_calls (CsDsm *dsm);
void dsm_on_locked (void *data, unsigned lock);
void dsm_on_passed (void *data, unsigned barrier);
void dsm_fail_calls (CsDsm *dsm);

/* loop.c */
void *dsm_run (void *dsm);
void dsm_report (CsDsm *dsm, unsigned peer, const char *what);
/* strangers.c */
void strangers_accept (CsDsm *dsm);
void strangers_read (CsDsm *dsm, Stranger *stranger);
void strangers_tick (CsDsm *dsm, unsigned elapsed);

#endif
