/* The RAM blocks of a running QEMU and where they lie in its address space. */
#ifndef CS_VMM_RAMBLOCK_H
#define CS_VMM_RAMBLOCK_H

#include "vmm/monitor.h"

typedef struct
{
  char *name;          /* QEMU's idstr, e.g. "pc.ram", "0000:00:02.0/vga.vram" */
  guint64 host;        /* address in QEMU's address space */
  guint64 used_length; /* bytes; a multiple of 4096 (of page_size perhaps not) */
  guint64 max_length;
  guint64 page_size; /* of its backend: 4096, or 2 MiB, 1 GiB for huge pages */
  bool read_only;    /* QEMU itself cannot write it through this mapping */
} CsRamBlock;

/* Asks QEMU (x-query-ramblock): GPtrArray of CsRamBlock with a free function, in QEMU's order,
 * blocks of used length 0 or without a name (which QEMU does not migrate) left out.  Ask again for
 * each snapshot: hotplug adds blocks. Errors: UNSUPPORTED (QEMU < 8.0 prints no addresses). */
GPtrArray *cs_ram_blocks_query (CsMonitor *monitor, GError **error);

/* The parser of its text, apart for tests and fuzzing. */
GPtrArray *cs_ram_blocks_parse (const char *text, GError **error);

#endif
