#include "config.h"

#include "vmm/frame-filter.h"

#include "common/error.h"
#include "common/fd.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>

#define KEEP 0x100000 /* more bytes than a frame has */

static int
bpf (int command, union bpf_attr *attributes)
{
  return (int)syscall (SYS_bpf, command, attributes, sizeof *attributes);
}

static int
make_counter (void)
{
  union bpf_attr attributes;
  memset (&attributes, 0, sizeof attributes);
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = sizeof (guint32);
  attributes.value_size = sizeof (guint64);
  attributes.max_entries = 1;
  return bpf (BPF_MAP_CREATE, &attributes);
}

static int
load_program (int map, gint64 until)
{
  static char license[] = "GPL"; /* bpf_ktime_get_ns is for such programs only */
  guint64 nanoseconds = (guint64)until * 1000;
  /* if (ktime_get_ns () > until) return KEEP; value = lookup (map, 0); if (value) (*value)++;
   * return 0; */
  struct bpf_insn code[] = {
    { BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ktime_get_ns },
    { BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, 0, 0, (gint32)nanoseconds },
    { 0, 0, 0, 0, (gint32)(nanoseconds >> 32) },
    { BPF_JMP | BPF_JLE | BPF_X, BPF_REG_0, BPF_REG_1, 2, 0 },
    { BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, KEEP },
    { BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
    { BPF_ST | BPF_W | BPF_MEM, BPF_REG_10, 0, -4, 0 },
    { BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0 },
    { BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4 },
    { BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map },
    { 0, 0, 0, 0, 0 },
    { BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem },
    { BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 2, 0 },
    { BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 1 },
    { BPF_STX | BPF_DW | BPF_ATOMIC, BPF_REG_0, BPF_REG_1, 0, BPF_ADD },
    { BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0 },
    { BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
  };
  union bpf_attr attributes;
  memset (&attributes, 0, sizeof attributes);
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insns = (guint64)(guintptr)code;
  attributes.insn_cnt = G_N_ELEMENTS (code);
  attributes.license = (guint64)(guintptr)license;
  return bpf (BPF_PROG_LOAD, &attributes);
}

bool
cs_frame_filter_make (CsFrameFilter *filter, gint64 until, GError **error)
{
  *filter = (CsFrameFilter){ -1, -1 };
  filter->map = make_counter ();
  if (filter->map >= 0)
    filter->program = load_program (filter->map, until);
  if (filter->program >= 0)
    return true;
  cs_error_set_errno (error, errno, "cannot load a filter for frames");
  cs_frame_filter_close (filter);
  return false;
}

guint64
cs_frame_filter_dropped (const CsFrameFilter *filter)
{
  guint32 key = 0;
  guint64 value = 0;
  union bpf_attr attributes;
  if (filter->map < 0)
    return 0;
  memset (&attributes, 0, sizeof attributes);
  attributes.map_fd = (guint32)filter->map;
  attributes.key = (guint64)(guintptr)&key;
  attributes.value = (guint64)(guintptr)&value;
  return bpf (BPF_MAP_LOOKUP_ELEM, &attributes) == 0 ? value : 0;
}

void
cs_frame_filter_close (CsFrameFilter *filter)
{
  cs_fd_cleanup (&filter->program);
  cs_fd_cleanup (&filter->map);
}
