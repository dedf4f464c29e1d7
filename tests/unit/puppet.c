#include "config.h"

#include "tests/unit/puppet.h"

#include "vmm/inject.h"
#include "vmm/tracker-private.h"

#include <check.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define HUGE_PAGE (2 << 20)
#define LENGTH ((gsize)PUPPET_PAGES * PAGE)

typedef enum
{
  DO_STORE,
  DO_LOAD,
  DO_READ,
  DO_DISCARD,
  DO_PAGE_OUT,
  DO_MAP,
  DO_UNMAP,
  DO_STORM,
  DO_CALM,
} Verb;

typedef struct
{
  Verb verb;
  guint64 first;
  guint64 count;
  guint64 step;
  guint8 value;
} Command;

static bool
has_word (int control)
{
  struct pollfd descriptor = { control, POLLIN, 0 };
  return poll (&descriptor, 1, 0) > 0;
}

static void
storm (char *memory, int control)
{
  static guint64 counter;
  guint64 random = 88172645463325252;
  while (!has_word (control))
    for (guint i = 0; i < 64; i++)
      {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        *(volatile guint64 *)(memory + random % PUPPET_PAGES * PAGE + 8 * (i % 512)) = ++counter;
      }
}

static guint8
obey (const Command *command, char *memory, int control)
{
  char *at = memory + command->first * PAGE;
  gsize length = command->count * PAGE;
  switch (command->verb)
    {
    case DO_STORE:
      for (guint64 i = 0; i < command->count; i += command->step)
        ((volatile char *)at)[i * PAGE] = (char)command->value;
      return 0;
    case DO_LOAD:
      return *(volatile guint8 *)at;
    case DO_READ:
      {
        int zero = open ("/dev/zero", O_RDONLY | O_CLOEXEC);
        ssize_t got = read (zero, at, PAGE);
        close (zero);
        return got != PAGE;
      }
    case DO_DISCARD:
      return madvise (at, length, MADV_DONTNEED) != 0;
    case DO_PAGE_OUT:
      return madvise (at, length, MADV_PAGEOUT) != 0;
    case DO_MAP:
      return mmap (at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                   0)
             == MAP_FAILED;
    case DO_UNMAP:
      return munmap (at, length) != 0;
    case DO_STORM:
    case DO_CALM:
      return 0;
    }
  return 1;
}

static void
run (char *memory, int control)
{
  for (;;)
    {
      Command command;
      struct pollfd descriptor = { control, POLLIN, 0 };
      if (ppoll (&descriptor, 1, NULL, NULL) != 1
          || read (control, &command, sizeof command) != sizeof command)
        _exit (0);
      guint8 answer = obey (&command, memory, control);
      if (write (control, &answer, 1) != 1)
        _exit (0);
      if (command.verb == DO_STORM)
        storm (memory, control);
    }
}

static guint8
tell (Puppet *puppet, Command command)
{
  guint8 answer;
  ck_assert_int_eq (write (puppet->control, &command, sizeof command), sizeof command);
  ck_assert_int_eq (read (puppet->control, &answer, 1), 1);
  return answer;
}

/* Aligned to a huge page, so that what is huge is known. */
static char *
map (PuppetKind kind, int memfd)
{
  char *area = mmap (NULL, LENGTH + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (area, MAP_FAILED);
  char *memory = area + (HUGE_PAGE - (guintptr)area % HUGE_PAGE);
  bool shared = kind == PUPPET_SHARED_MEMFD || kind == PUPPET_HUGETLB;
  int flags = MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE) | (memfd < 0 ? MAP_ANONYMOUS : 0);
  if (mmap (memory, LENGTH, PROT_READ | PROT_WRITE, flags, memfd, 0) == MAP_FAILED)
    return NULL;
  madvise (memory, LENGTH, kind == PUPPET_HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  return memory;
}

static void
start_child (Puppet *puppet)
{
  int pair[2];
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  pid_t parent = getpid ();
  puppet->pid = fork ();
  ck_assert_int_ge (puppet->pid, 0);
  if (puppet->pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () == parent)
        run (puppet->memory, pair[1]);
      _exit (0);
    }
  close (pair[1]);
  puppet->control = pair[0];
}

Puppet *
puppet_new (PuppetKind kind)
{
  Puppet *puppet = g_new0 (Puppet, 1);
  puppet->kind = kind;
  puppet->memfd = -1;
  if (kind >= PUPPET_SHARED_MEMFD)
    {
      guint flags = kind == PUPPET_HUGETLB ? MFD_HUGETLB | MFD_HUGE_2MB : 0;
      puppet->memfd = memfd_create ("puppet", MFD_CLOEXEC | flags);
      ck_assert_int_ge (puppet->memfd, 0);
      ck_assert_int_eq (ftruncate (puppet->memfd, LENGTH), 0);
    }
  puppet->memory = map (kind, puppet->memfd);
  if (puppet->memory == NULL)
    {
      fprintf (stderr, "skipped: no huge pages are reserved (sysctl vm.nr_hugepages=8)\n");
      close (puppet->memfd);
      g_free (puppet);
      return NULL;
    }
  start_child (puppet);
  puppet->block = puppet_part (puppet, "ram", 0, PUPPET_PAGES);
  puppet->blocks = g_ptr_array_new ();
  g_ptr_array_add (puppet->blocks, &puppet->block);
  return puppet;
}

void
puppet_free (Puppet *puppet)
{
  kill (puppet->pid, SIGKILL);
  waitpid (puppet->pid, NULL, 0);
  close (puppet->control);
  if (puppet->memfd >= 0)
    close (puppet->memfd);
  munmap (puppet->memory, LENGTH);
  g_ptr_array_unref (puppet->blocks);
  g_free (puppet);
}

guint
puppet_unit (const Puppet *puppet)
{
  return puppet->kind == PUPPET_HUGETLB ? HUGE_PAGE / PAGE : 1;
}

guint64
puppet_address (const Puppet *puppet, guint64 page)
{
  return (guint64)(guintptr)puppet->memory + page * PAGE;
}

CsRamBlock
puppet_part (const Puppet *puppet, const char *name, guint64 first, guint64 count)
{
  return (CsRamBlock){ .name = (char *)(guintptr)name,
                       .host = puppet_address (puppet, first),
                       .used_length = count * PAGE,
                       .max_length = count * PAGE,
                       .page_size = puppet->kind == PUPPET_HUGETLB ? HUGE_PAGE : PAGE };
}

void
puppet_store (Puppet *puppet, guint64 page, guint8 value)
{
  puppet_store_every (puppet, page, 1, 1, value);
}

void
puppet_store_every (Puppet *puppet, guint64 first, guint64 count, guint64 step, guint8 value)
{
  ck_assert_int_eq (tell (puppet, (Command){ DO_STORE, first, count, step, value }), 0);
}

guint8
puppet_load (Puppet *puppet, guint64 page)
{
  return tell (puppet, (Command){ DO_LOAD, page });
}

void
puppet_read_into (Puppet *puppet, guint64 page)
{
  ck_assert_int_eq (tell (puppet, (Command){ DO_READ, page }), 0);
}

void
puppet_discard (Puppet *puppet, guint64 page, guint64 count)
{
  ck_assert_int_eq (tell (puppet, (Command){ DO_DISCARD, page, count }), 0);
}

void
puppet_page_out (Puppet *puppet)
{
  ck_assert_int_eq (tell (puppet, (Command){ DO_PAGE_OUT, 0, PUPPET_PAGES }), 0);
}

void
puppet_map_over (Puppet *puppet, guint64 page, guint64 count)
{
  ck_assert_int_eq (tell (puppet, (Command){ DO_MAP, page, count }), 0);
}

void
puppet_unmap (Puppet *puppet, guint64 page, guint64 count)
{
  ck_assert_int_eq (tell (puppet, (Command){ DO_UNMAP, page, count }), 0);
}

void
puppet_storm (Puppet *puppet)
{
  tell (puppet, (Command){ DO_STORM });
}

void
puppet_calm (Puppet *puppet)
{
  tell (puppet, (Command){ DO_CALM });
}

CsTracker *
puppet_track (Puppet *puppet)
{
  g_autoptr (GError) error = NULL;
  int uffd = cs_inject_userfaultfd (puppet->pid, NULL, CS_TRACKER_FEATURES, NULL, &error);
  ck_assert_msg (uffd >= 0, "%s", error ? error->message : "");
  CsTracker *tracker = cs_tracker_new_from_fd (puppet->pid, uffd, &error);
  ck_assert_msg (tracker != NULL, "%s", error ? error->message : "");
  return tracker;
}
