/* What the methods of clusnapd share: VMs, stores, journal, directories. */
#ifndef CS_VMM_DAEMON_H
#define CS_VMM_DAEMON_H

#include "vmm/cluster-lines.h"
#include "vmm/journal.h"
#include "vmm/kept-pages.h"
#include "vmm/rpc-server.h"
#include "vmm/vm.h"

typedef struct
{
  /* immutable */
  CsVmTable *vms;
  CsKeptPages *kept;
  CsJournal *journal;
  char *scratch_directory;
  char *log_directory;
  char *state_directory;
  char *clones_directory; /* of the clones' records (clone.h) */
  char *serve_directory;  /* sockets of disk servers */
  int lock_fd;            /* flock: one clusnapd per run directory */
  GThread *recoverer;     /* NULL: the recovery left nothing to be tried again */

  /* under lines_lock */
  GMutex lines_lock;
  GHashTable *lines;        /* cluster -> CsClusterLines; they stay while the daemon runs */
  GPtrArray *retired_lines; /* of clusters that were forgotten */

  /* under lock */
  GMutex lock;
  GHashTable *stores; /* path -> CsStore; open while the daemon runs */
  GPtrArray *retired; /* stores whose directory was replaced: something may still point at them */
  GHashTable *clones; /* names of clones that are being made or removed */
  guint filling;      /* VMs whose memory or disks are still arriving */
  GCond filled;
  bool leaving; /* disks are left to the next clusnapd, memory is not */
  bool ending;
  GCond ended;
} CsDaemon;

typedef struct
{
  const char *state_directory;   /* for what outlives the host, as the clones */
  const char *run_directory;     /* for the journal */
  const char *scratch_directory; /* for what guests overwrite on disks that are being stored */
  const char *log_directory;     /* for the output of QEMUs that we start */
  guint64 rollback_memory;       /* bytes, of all VMs, kept for their next rollback */
} CsDaemonOptions;

/* BUSY when another clusnapd has the run directory: it would take that one's paused VMs for left
 * behind. */
CsDaemon *cs_daemon_new (const CsDaemonOptions *options, GError **error);
/* Waits until no VM's memory is arriving any more; disks that are still lazy stay so. */
void cs_daemon_free (CsDaemon *daemon);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDaemon, cs_daemon_free)

/* The store at @path (absolute), opened on first use.  Borrowed.  Any thread. */
CsStore *cs_daemon_store (CsDaemon *daemon, const char *path, GError **error);

/* The lines of history of cluster @cluster, opened on first use (@store, which may be NULL, is only
 * looked at then).  Borrowed.  Any thread. */
CsClusterLines *cs_daemon_lines (CsDaemon *daemon, CsStore *store, const char *cluster,
                                 GError **error);
/* Takes up the counters of all clusters that a daemon before us knew. */
void cs_daemon_recover_lines (CsDaemon *daemon);
/* Now and then: what need not be kept any longer goes. */
void cs_daemon_sweep (CsDaemon *daemon);
/* Counters of VMs that have ended go. */
void cs_daemon_sweep_lines (CsDaemon *daemon);

/* Makes good what a killed daemon left: resumes paused VMs, does again what was half rolled back,
 * goes on filling memory (recover.c).  Guests that do not answer are tried again in the background.
 */
void cs_daemon_recover (CsDaemon *daemon);

/* Watches over @vm's restore (vm->filling) until all its memory and disks are there. */
void cs_daemon_watch_filling (CsDaemon *daemon, CsVm *vm);

/* Methods, by file: rpc-store.c, snapshot*.c, restore-job.c, rpc-rollback.c,
 * rpc-vm.c, rpc-deps.c */
json_object *cs_rpc_hello (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_vm_info (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_job_abort (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_store_init (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_store_stats (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_store_gc (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_snapshot_list (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_snapshot_show (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_snapshot_verify (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_snapshot_delete (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_snapshot_begin (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_snapshot_check (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_snapshot_quiesce (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_snapshot_precopy (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_snapshot_pause (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_snapshot_release (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_snapshot_store (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_snapshot_seal (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_restore_begin (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_restore_load (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_restore_release (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_restore_wait (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_rollback_begin (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_rollback_prepare (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_rollback_pause (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_rollback_apply (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_rollback_release (CsRpcPeer *peer, json_object *params, GError **error);

json_object *cs_rpc_deps_show (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_deps_forget (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_clone_show (CsRpcPeer *peer, json_object *params, GError **error);
json_object *cs_rpc_clone_remove (CsRpcPeer *peer, json_object *params, GError **error);

/* Helpers of theirs. */

/* One at a time makes or removes the clone @name: BUSY. */
bool cs_daemon_claim_clone (CsDaemon *daemon, const char *name, GError **error);
void cs_daemon_release_clone (CsDaemon *daemon, const char *name);
/* clone-rpc.c: removes a clone that a killed daemon had not finished, serves the disks of the
 * others. */
void cs_daemon_recover_clones (CsDaemon *daemon);

/* The VM references of @params' array @member: GPtrArray of CsVmRef, each name once.  INVALID. */
GPtrArray *cs_rpc_vm_refs (json_object *params, const char *member, GError **error);
/* Member "store" of @params, opened. */
CsStore *cs_rpc_store (CsRpcPeer *peer, json_object *params, GError **error);
/* Progress for the peer: the VMs of its job run; their agents may still take their time. */
void cs_rpc_notify_running (CsRpcPeer *peer);

#endif
