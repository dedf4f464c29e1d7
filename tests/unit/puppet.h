/* A child process with a piece of memory, which does to it what it is told. */
#ifndef CS_TESTS_PUPPET_H
#define CS_TESTS_PUPPET_H

#include "vmm/tracker.h"

#define PUPPET_PAGES 4096 /* 16 MiB */

typedef enum
{
  PUPPET_ANONYMOUS,
  PUPPET_HUGE,          /* anonymous, transparent huge pages */
  PUPPET_SHARED_MEMFD,  /* like memory-backend-memfd */
  PUPPET_PRIVATE_MEMFD, /* share=off */
  PUPPET_HUGETLB,       /* shared, huge pages of 2 MiB */
  PUPPET_KINDS,
} PuppetKind;

typedef struct
{
  PuppetKind kind;
  pid_t pid;
  int control;
  int memfd;    /* or -1 */
  char *memory; /* the same address in the child */
  CsRamBlock block;
  GPtrArray *blocks; /* the one above */
} Puppet;

/* NULL (and a line on stderr) where this host has no memory of that kind. */
Puppet *puppet_new (PuppetKind kind);
void puppet_free (Puppet *puppet);

/* Pages per unit of dirt. */
guint puppet_unit (const Puppet *puppet);

/* The memory's address of @page. */
guint64 puppet_address (const Puppet *puppet, guint64 page);
CsRamBlock puppet_part (const Puppet *puppet, const char *name, guint64 first, guint64 count);

/* What the child is told to do; each call returns when it is done. */
void puppet_store (Puppet *puppet, guint64 page, guint8 value);
void puppet_store_every (Puppet *puppet, guint64 first, guint64 count, guint64 step, guint8 value);
guint8 puppet_load (Puppet *puppet, guint64 page);
void puppet_read_into (Puppet *puppet, guint64 page); /* read(2) from /dev/zero */
void puppet_discard (Puppet *puppet, guint64 page, guint64 count);
void puppet_page_out (Puppet *puppet); /* to swap, if this host has any */
void puppet_map_over (Puppet *puppet, guint64 page, guint64 count);
void puppet_unmap (Puppet *puppet, guint64 page, guint64 count);
/* Between the two the child writes random pages without pause. */
void puppet_storm (Puppet *puppet);
void puppet_calm (Puppet *puppet);

/* A tracker on it, made by injection. */
CsTracker *puppet_track (Puppet *puppet);

#endif
