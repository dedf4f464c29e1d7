/* The arguments of a bare QEMU, rewritten for a clone beside it: everything that names something
 * of the host (sockets, files, taps, ports) gets the clone's name in its place; what the guest sees
 * (devices, ids, addresses, node names) stays, or its device state would not load.
 *
 * What is known stands in tables (clone-argv.c, clone-argv-block.c, clone-argv-host.c); all else is
 * refused with the argument. */
#ifndef CS_VMM_CLONE_ARGV_H
#define CS_VMM_CLONE_ARGV_H

#include "vmm/clone-plan.h"

typedef struct
{
  const char *directory; /* that relative names count from */
  /* The bridge of the original's tap @ifname, or NULL when nobody knows (then all such taps share
   * one). */
  const char *(*bridge_of) (const char *ifname, void *data);
  void *data;
} CsCloneArgvContext;

/* REFUSED, naming the argument. */
GStrv cs_clone_argv_rewrite (CsClonePlanVm *vm, const char *const *arguments,
                             const CsCloneArgvContext *context, GError **error);

#endif
