/* The options of QEMU, and what becomes of each.  QEMU's own list: qemu-options.hx, 10.0. */
#include "config.h"

#include "vmm/clone-argv-private.h"

#include "common/error.h"

#include <stdarg.h>
#include <string.h>

void
cs_clone_argv_refuse (const CsCloneArgv *argv, GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *why = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
               "VM '%s' cannot be cloned: its QEMU's argument '-%s%s%s': %s",
               cs_clone_plan_vm_member (argv->vm, "name"), argv->option,
               argv->text != NULL ? " " : "", argv->text != NULL ? argv->text : "", why);
}

char *
cs_clone_argv_absolute (const CsCloneArgv *argv, const char *path)
{
  return g_canonicalize_filename (path, argv->context->directory);
}

const char *
cs_clone_argv_map (const CsCloneArgv *argv, const char *path)
{
  g_autofree char *absolute = cs_clone_argv_absolute (argv, path);
  return cs_clone_plan_vm_path (argv->vm, absolute);
}

void
cs_clone_argv_map_key (const CsCloneArgv *argv, CsQemuOption *option, const char *key)
{
  const char *path = cs_qemu_option_get (option, key);
  if (path != NULL && *path != '\0')
    cs_qemu_option_set (option, key, cs_clone_argv_map (argv, path));
}

static char *
rewrite_name (CsCloneArgv *argv, const char *text, GError **error)
{
  g_autoptr (CsQemuOption) option = cs_qemu_option_parse (text, "guest", error);
  if (option == NULL)
    return NULL;
  const char *old = cs_qemu_option_get (option, "guest");
  if (old != NULL)
    {
      g_autofree char *name =
          g_strdup_printf ("%s-%s", cs_clone_plan_name (cs_clone_plan_vm_plan (argv->vm)), old);
      cs_qemu_option_set (option, "guest", name);
    }
  return cs_qemu_option_format (option);
}

static char *
rewrite_uuid (CsCloneArgv *argv, const char *text, GError **error)
{
  return g_strdup (cs_clone_plan_vm_uuid (argv->vm));
}

static char *
rewrite_path (CsCloneArgv *argv, const char *text, GError **error)
{
  return g_strdup (cs_clone_argv_map (argv, text));
}

/* A file that it would write to: @key. */
static char *
rewrite_key (CsCloneArgv *argv, const char *text, const char *implied, const char *key,
             GError **error)
{
  g_autoptr (CsQemuOption) option = cs_qemu_option_parse (text, implied, error);
  if (option == NULL)
    return NULL;
  cs_clone_argv_map_key (argv, option, key);
  return cs_qemu_option_format (option);
}

static char *
rewrite_trace (CsCloneArgv *argv, const char *text, GError **error)
{
  return rewrite_key (argv, text, "enable", "file", error);
}

/* What is fine unless it has one of @keys. */
static char *
refuse_keys (CsCloneArgv *argv, const char *text, const char *const *keys, GError **error)
{
  g_autoptr (CsQemuOption) option = cs_qemu_option_parse (text, "type", error);
  if (option == NULL)
    return NULL;
  for (const char *const *key = keys; *key != NULL; key++)
    if (cs_qemu_option_get (option, *key) != NULL)
      {
        cs_clone_argv_refuse (argv, error, "'%s' names something that two VMs cannot share", *key);
        return NULL;
      }
  return g_strdup (text);
}

static char *
check_icount (CsCloneArgv *argv, const char *text, GError **error)
{
  return refuse_keys (argv, text, (const char *const[]){ "rrfile", NULL }, error);
}

static char *
check_run_with (CsCloneArgv *argv, const char *text, GError **error)
{
  return refuse_keys (argv, text, (const char *const[]){ "chroot", NULL }, error);
}

static char *
check_machine (CsCloneArgv *argv, const char *text, GError **error)
{
  return refuse_keys (argv, text, (const char *const[]){ "dumpdtb", NULL }, error);
}

static char *
check_mem_path (CsCloneArgv *argv, const char *text, GError **error)
{
  if (g_file_test (text, G_FILE_TEST_IS_DIR))
    return g_strdup (text);
  cs_clone_argv_refuse (argv, error,
                        "its memory is a file: use -object memory-backend-file instead");
  return NULL;
}

/* Another host directory may be shared when nobody writes to it. */
static char *
check_file_system (CsCloneArgv *argv, const char *text, GError **error)
{
  g_autoptr (CsQemuOption) option = cs_qemu_option_parse (text, "driver", error);
  if (option == NULL)
    return NULL;
  if (cs_qemu_option_is_on (option, "readonly"))
    return g_strdup (text);
  cs_clone_argv_refuse (argv, error, "both VMs would write to the same directory of the host");
  return NULL;
}

typedef struct
{
  const char *name;
  bool has_argument;
  CsCloneArgvFunc func; /* NULL: it names nothing of the host, or what any number can read */
} Known;

#define FLAG(name)                                                                                 \
  {                                                                                                \
    name, false, NULL                                                                              \
  }
#define PLAIN(name)                                                                                \
  {                                                                                                \
    name, true, NULL                                                                               \
  }

// clang-format off
static const Known known[] = {
  FLAG ("S"), FLAG ("enable-kvm"), FLAG ("full-screen"), FLAG ("mem-prealloc"),
  FLAG ("no-acpi"), FLAG ("no-fd-bootchk"), FLAG ("no-hpet"), FLAG ("no-reboot"),
  FLAG ("no-shutdown"), FLAG ("no-user-config"), FLAG ("nodefaults"), FLAG ("nographic"),
  FLAG ("only-migratable"), FLAG ("usb"), FLAG ("win2k-hack"), FLAG ("one-insn-per-tb"),
  PLAIN ("L"), PLAIN ("accel"), PLAIN ("acpitable"), PLAIN ("action"), PLAIN ("append"),
  PLAIN ("bios"), PLAIN ("boot"), PLAIN ("cdrom"), PLAIN ("compat"), PLAIN ("cpu"), PLAIN ("d"),
  PLAIN ("dfilter"), PLAIN ("dtb"), PLAIN ("fw_cfg"), PLAIN ("global"), PLAIN ("initrd"),
  PLAIN ("k"), PLAIN ("kernel"), PLAIN ("m"), PLAIN ("mon"), PLAIN ("msg"), PLAIN ("numa"),
  PLAIN ("option-rom"), PLAIN ("overcommit"), PLAIN ("rtc"), PLAIN ("runas"), PLAIN ("sandbox"),
  PLAIN ("seed"), PLAIN ("shim"), PLAIN ("smbios"), PLAIN ("smp"), PLAIN ("tb-size"),
  PLAIN ("vga"), PLAIN ("watchdog-action"), PLAIN ("g"), PLAIN ("audio-help"),
  { "M", true, check_machine }, { "machine", true, check_machine },
  { "icount", true, check_icount }, { "run-with", true, check_run_with },
  { "mem-path", true, check_mem_path }, { "fsdev", true, check_file_system },
  { "virtfs", true, check_file_system }, { "name", true, rewrite_name },
  { "uuid", true, rewrite_uuid }, { "pidfile", true, rewrite_path }, { "D", true, rewrite_path },
  { "trace", true, rewrite_trace }, { "blockdev", true, cs_clone_argv_blockdev },
  { "drive", true, cs_clone_argv_drive }, { "pflash", true, cs_clone_argv_pflash },
  { "netdev", true, cs_clone_argv_netdev }, { "nic", true, cs_clone_argv_netdev },
  { "net", true, cs_clone_argv_netdev }, { "chardev", true, cs_clone_argv_chardev },
  { "serial", true, cs_clone_argv_character }, { "parallel", true, cs_clone_argv_character },
  { "monitor", true, cs_clone_argv_character }, { "qmp", true, cs_clone_argv_character },
  { "qmp-pretty", true, cs_clone_argv_character },
  { "debugcon", true, cs_clone_argv_character }, { "device", true, cs_clone_argv_device },
  { "object", true, cs_clone_argv_object }, { "vnc", true, cs_clone_argv_vnc },
  { "spice", true, cs_clone_argv_spice }, { "display", true, cs_clone_argv_display },
  { "audiodev", true, cs_clone_argv_audiodev }, { "audio", true, cs_clone_argv_audiodev },
};
// clang-format on

static const Known *
find (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (known); i++)
    if (g_str_equal (known[i].name, name))
      return &known[i];
  return NULL;
}

/* "-hda" to "-hdd": 0 to 3; else -1. */
static int
hard_disk (const char *name)
{
  bool is = strlen (name) == 3 && g_str_has_prefix (name, "hd") && name[2] >= 'a' && name[2] <= 'd';
  return is ? name[2] - 'a' : -1;
}

static bool
add_hard_disk (CsCloneArgv *argv, GPtrArray *out, const char *file, int unit, GError **error)
{
  char *drive = cs_clone_argv_hard_disk (argv, file, (guint)unit, error);
  if (drive == NULL)
    return false;
  g_ptr_array_add (out, g_strdup ("-drive"));
  g_ptr_array_add (out, drive);
  return true;
}

/* One option at **at, which is moved to the last word of it. */
static bool
rewrite_one (CsCloneArgv *argv, GPtrArray *out, const char *const **at, GError **error)
{
  const char *word = **at, *next = (*at)[1];
  argv->text = next;
  if (word[0] != '-')
    {
      argv->option = "hda";
      argv->text = word;
      return add_hard_disk (argv, out, word, 0, error);
    }
  argv->option = word + (word[1] == '-' ? 2 : 1);
  int unit = hard_disk (argv->option);
  const Known *option = find (argv->option);
  bool has_argument = unit >= 0 || (option != NULL && option->has_argument);
  if ((option == NULL && unit < 0) || (has_argument && next == NULL))
    {
      argv->text = has_argument ? NULL : next;
      cs_clone_argv_refuse (argv, error,
                            has_argument ? "its value is missing"
                                         : "clusnap does not know this option, which may name "
                                           "something of the host");
      return false;
    }
  *at += has_argument ? 1 : 0;
  if (unit >= 0)
    return add_hard_disk (argv, out, next, unit, error);
  char *value = NULL;
  if (option->func != NULL && (value = option->func (argv, next, error)) == NULL)
    {
      if (error != NULL && !g_error_matches (*error, CS_ERROR, CS_ERROR_REFUSED))
        g_prefix_error (error,
                        "VM '%s' cannot be cloned: ", cs_clone_plan_vm_member (argv->vm, "name"));
      return false;
    }
  g_ptr_array_add (out, g_strdup (word));
  if (has_argument)
    g_ptr_array_add (out, value != NULL ? value : g_strdup (next));
  return true;
}

static void
node_free (gpointer data)
{
  CsCloneNode *node = data;
  cs_qemu_option_free (node->option);
  g_free (node->name);
  g_free (node);
}

GStrv
cs_clone_argv_rewrite (CsClonePlanVm *vm, const char *const *arguments,
                       const CsCloneArgvContext *context, GError **error)
{
  g_autoptr (GPtrArray) nodes = g_ptr_array_new_with_free_func (node_free);
  g_autoptr (GHashTable) flash = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GPtrArray) out = g_ptr_array_new_with_free_func (g_free);
  CsCloneArgv argv = { .vm = vm, .context = context, .nodes = nodes, .flash = flash };
  if (arguments[0] == NULL || !cs_clone_argv_scan_blocks (&argv, arguments + 1, error))
    return NULL;
  g_ptr_array_add (out, g_strdup (arguments[0]));
  for (const char *const *at = arguments + 1; *at != NULL; at++)
    if (!rewrite_one (&argv, out, &at, error))
      return NULL;
  g_ptr_array_add (out, NULL);
  return (GStrv)g_ptr_array_free (g_steal_pointer (&out), FALSE);
}
