/* What the files of clone-argv.h share. */
#ifndef CS_VMM_CLONE_ARGV_PRIVATE_H
#define CS_VMM_CLONE_ARGV_PRIVATE_H

#include "vmm/clone-argv.h"
#include "vmm/qemu-option.h"

typedef struct
{
  CsClonePlanVm *vm;
  const CsCloneArgvContext *context;
  GPtrArray *nodes;   /* of CsCloneNode: every -blockdev */
  GHashTable *flash;  /* nodes that -machine pflashN= names */
  const char *option; /* being rewritten, without its dashes */
  const char *text;   /* its argument, for errors */
} CsCloneArgv;

/* One -blockdev. */
typedef struct
{
  CsQemuOption *option;
  char *name;      /* node-name, or NULL */
  bool is_backing; /* another node names it, or the node above it, as its backing */
  bool is_flash;
  guint above; /* nodes that name it as their file */
} CsCloneNode;

/* Sets REFUSED: "… argument '-x y' …: @why". */
void cs_clone_argv_refuse (const CsCloneArgv *argv, GError **error, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

/* @path as an absolute, canonical one (g_free). */
char *cs_clone_argv_absolute (const CsCloneArgv *argv, const char *path);
/* The clone's path in the place of @path. */
const char *cs_clone_argv_map (const CsCloneArgv *argv, const char *path);
/* If @option has @key, the path there is mapped. */
void cs_clone_argv_map_key (const CsCloneArgv *argv, CsQemuOption *option, const char *key);

/* A handler returns the new argument, or NULL with @error. */
typedef char *(*CsCloneArgvFunc) (CsCloneArgv *argv, const char *text, GError **error);

/* clone-argv-block.c */
bool cs_clone_argv_scan_blocks (CsCloneArgv *argv, const char *const *arguments, GError **error);
char *cs_clone_argv_blockdev (CsCloneArgv *argv, const char *text, GError **error);
char *cs_clone_argv_drive (CsCloneArgv *argv, const char *text, GError **error);
char *cs_clone_argv_pflash (CsCloneArgv *argv, const char *text, GError **error);
/* -hda … and a bare file name, @unit 0 to 3: becomes the value of a -drive. */
char *cs_clone_argv_hard_disk (CsCloneArgv *argv, const char *text, guint unit, GError **error);

/* clone-argv-host.c */
char *cs_clone_argv_netdev (CsCloneArgv *argv, const char *text, GError **error);
char *cs_clone_argv_chardev (CsCloneArgv *argv, const char *text, GError **error);
char *cs_clone_argv_character (CsCloneArgv *argv, const char *text, GError **error);
char *cs_clone_argv_device (CsCloneArgv *argv, const char *text, GError **error);
char *cs_clone_argv_object (CsCloneArgv *argv, const char *text, GError **error);
char *cs_clone_argv_vnc (CsCloneArgv *argv, const char *text, GError **error);
char *cs_clone_argv_spice (CsCloneArgv *argv, const char *text, GError **error);
char *cs_clone_argv_display (CsCloneArgv *argv, const char *text, GError **error);
char *cs_clone_argv_audiodev (CsCloneArgv *argv, const char *text, GError **error);

#endif
