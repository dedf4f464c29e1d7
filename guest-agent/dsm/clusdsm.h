/* libclusdsm: memory that programs in several guests share.
 *
 * Every node opens the same region with its own number and the addresses of all.  Loads and stores
 * go on as usual; a page that is not here is fetched, one that is written is taken from all others
 * first. Between nodes memory is sequentially consistent; between the threads of one node it is
 * what the CPU makes of it, so atomics are needed there as ever (volatile or atomics are needed in
 * both, against the compiler).
 *
 * All functions may be called by any thread of the process, but not from the callbacks, which run
 * on the library's own thread.  They return 0, or -1 with errno; EHOSTDOWN: a peer is lost, and the
 * DSM with it.
 *
 * Caveats
 * - A peer that is lost takes its pages along.  `lost` is called; from then on each call fails, and
 * what touches a page that is not here gets SIGBUS with the address.
 * - Where userfaultfd is only allowed for faults from user mode (not root), system calls on memory
 * that is not here fail with EFAULT: touch it first.
 * - Threads must not be cancelled in these functions.
 * - The region is not inherited by fork.  Do not munmap, mprotect or madvise it.
 * - Peers are not authenticated: use a network that belongs to the cluster.
 *
 * clusdsm(3) has examples.  libc only. */
#ifndef CS_CLUSDSM_H
#define CS_CLUSDSM_H

#include <stddef.h>
#include <stdint.h>

#define CS_DSM_PAGE 4096
#define CS_DSM_PAGES (1u << 20) /* of a region at most */
#define CS_DSM_NODES 64
#define CS_DSM_LOCKS 256
#define CS_DSM_BARRIERS 64
#define CS_DSM_NAME 64 /* bytes of a VM's name, its end included */

#ifdef __cplusplus
extern "C"
{
#endif
#pragma GCC visibility push(default)

  typedef struct CsDsm CsDsm;

  typedef struct
  {
    unsigned node, nodes;
    /* "A.B.C.D:PORT" of each node, its own (where it listens) included; NULL: CLUSDSM_PEERS. */
    const char *const *peers;
    size_t size; /* bytes, the same on all nodes; rounded up to pages */
    unsigned
        home_block;    /* so many consecutive pages have one home; 0: a node's share in one piece */
    unsigned start_ms; /* how long open waits for all peers */
    unsigned silence_ms; /* a peer that answers nothing for so long, while we run, is lost */
    unsigned hold_us;    /* how long a page stays after it was fetched, so that it can be used */
    const char *vm;      /* the VM's name if known already, else NULL */
    /* Once, when peer @node is lost.  NULL: nothing but the report. */
    void (*lost) (void *data, unsigned node, const char *reason);
    /* What somebody should read: refused connections, reconnects.  NULL: a line on stderr. */
    void (*report) (void *data, const char *line);
    void *data;
  } CsDsmOptions;

  /* Defaults, then CLUSDSM_NODE, CLUSDSM_PEERS ("A.B.C.D:PORT,..." of all nodes), CLUSDSM_SILENCE
   * (ms) and CLUSDSM_START (ms) of the environment.  -1 with EINVAL when one of these is bad. */
  int cs_dsm_options (CsDsmOptions *options);

  /* Returns when all peers are connected.  NULL with errno and, in @why, what to do about it. */
  CsDsm *cs_dsm_open (const CsDsmOptions *options, char *why, size_t why_size);

  /* Waits for all nodes to get here, as a barrier does; then the memory is gone.  -1: a peer was
   * lost; the handle is freed nevertheless. */
  int cs_dsm_close (CsDsm *dsm);

  /* Zeros at first.  The same pages on all nodes, but not at the same address. */
  void *cs_dsm_memory (const CsDsm *dsm);
  size_t cs_dsm_size (const CsDsm *dsm);

  /* @lock below CS_DSM_LOCKS; not recursive.  Waits. */
  int cs_dsm_lock (CsDsm *dsm, unsigned lock);
  int cs_dsm_unlock (CsDsm *dsm, unsigned lock); /* EPERM: this node does not hold it */

  /* Waits until one thread of every node has called it with @barrier, below CS_DSM_BARRIERS. */
  int cs_dsm_barrier (CsDsm *dsm, unsigned barrier);

  /* ---- snapshots: for participate.c, or who has another way to be asked ---- */

  /* Starts no new ownership change, lock or barrier message, and asks the peers to send nothing new
   * here.  Ready as soon as what was in transfer is complete and every frame of this node is
   * acknowledged.  Threads that need something meanwhile wait in it until resume. */
  int cs_dsm_prepare (CsDsm *dsm);
  int cs_dsm_wait_ready (CsDsm *dsm, unsigned ms); /* ETIMEDOUT; EINVAL: not prepared */
  int cs_dsm_ready_fd (const CsDsm *dsm);          /* readable while prepared and ready */

  /* Goes on as @vm in its interval @interval (@vm NULL: as before).  Without prepare it only takes
   * the identity. */
  int cs_dsm_resume (CsDsm *dsm, const char *vm, uint64_t interval);

  typedef struct
  {
    char vm[CS_DSM_NAME];
    uint64_t interval;
  } CsDsmDependency;

  enum
  {
    CS_DSM_DIRECT, /* with whom this node exchanged data, whose pages it read, whose lock or barrier
                      it took */
    CS_DSM_MERGED, /* and on whom these depended at that time */
  };

  /* Fills at most @n of @dependencies, one per VM, cumulative; returns how many.  Peers whose name
   * is unknown are left out. */
  size_t cs_dsm_dependencies (CsDsm *dsm, int which, CsDsmDependency *dependencies, size_t n);

  typedef struct
  {
    uint64_t read_faults, write_faults; /* that had to ask another node or this node's directory */
    uint64_t pages_in, pages_out;       /* contents received and sent */
    uint64_t invalidated;               /* copies given up */
    uint64_t transfers; /* now: ownership changes that this node, as home, has under way */
    uint64_t reconnects, rejected; /* connections made again; refused or ended as malformed */
    /* Frames to and from each node since the start; acknowledged: of those sent. */
    uint64_t sent[CS_DSM_NODES], acknowledged[CS_DSM_NODES], received[CS_DSM_NODES];
  } CsDsmStats;

  int cs_dsm_stats (CsDsm *dsm, CsDsmStats *stats);

  /* ---- participate.c ---- */

  /* Takes part in the snapshots that the guest's clusnap-agent announces at @path (NULL: its usual
   * socket) as @name, by a thread of its own, until the DSM is closed.  There need be no agent yet:
   * it is looked for every second.  EBUSY: it takes part already. */
  int cs_dsm_participate (CsDsm *dsm, const char *path, const char *name);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
