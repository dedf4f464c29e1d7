#include "config.h"

#include "tests/unit/fake-qmp.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <json.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct FakeQmp
{
  const FakeStep *steps;
  char *directory, *path;
  int listener;
  GThread *thread;

  /* Thread only, until it is joined: */
  int fd;
  GString *input;
  GPtrArray *ids; /* of expected commands, as text */
  int received_fd;
  char *problem;
};

static void
set_address (struct sockaddr_un *address, const char *path)
{
  *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
  g_strlcpy (address->sun_path, path, sizeof address->sun_path);
}

static void
problem (FakeQmp *fake, const char *text, const char *what)
{
  if (fake->problem == NULL)
    fake->problem = g_strdup_printf ("%s: %s", text, what != NULL ? what : "");
}

/* Reads once into input; keeps a descriptor that comes along.  False: closed. */
static bool
receive (FakeQmp *fake)
{
  char data[65536];
  struct iovec vector = { data, sizeof data };
  union
  {
    struct cmsghdr header;
    char space[CMSG_SPACE (sizeof (int))];
  } control;
  struct msghdr message = { .msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = control.space,
                            .msg_controllen = sizeof control.space };
  ssize_t n = recvmsg (fake->fd, &message, MSG_CMSG_CLOEXEC);
  if (n <= 0)
    return false;
  struct cmsghdr *header = CMSG_FIRSTHDR (&message);
  if (header != NULL && header->cmsg_type == SCM_RIGHTS)
    memcpy (&fake->received_fd, CMSG_DATA (header), sizeof (int));
  g_string_append_len (fake->input, data, n);
  return true;
}

static void
expect (FakeQmp *fake, const char *command)
{
  char *newline;
  while ((newline = strchr (fake->input->str, '\n')) == NULL)
    if (!receive (fake))
      {
        problem (fake, "the client closed instead of sending", command);
        return;
      }
  g_autofree char *line = g_strndup (fake->input->str, (gsize)(newline - fake->input->str));
  g_string_erase (fake->input, 0, newline - fake->input->str + 1);
  json_object *message = json_tokener_parse (line), *name = NULL, *id = NULL;
  if (!json_object_object_get_ex (message, "execute", &name)
      || !g_str_equal (json_object_get_string (name), command))
    problem (fake, command, line);
  json_object_object_get_ex (message, "id", &id);
  g_ptr_array_add (fake->ids, g_strdup (id != NULL ? json_object_get_string (id) : "null"));
  json_object_put (message);
}

static void
send_all (FakeQmp *fake, const char *data, gsize length)
{
  while (length > 0)
    {
      ssize_t n = send (fake->fd, data, length, MSG_NOSIGNAL);
      if (n < 0)
        return; /* the client gave up, as some scripts want */
      data += n;
      length -= (gsize)n;
    }
}

static void
send_text (FakeQmp *fake, const char *text)
{
  g_autoptr (GString) out = g_string_new (text);
  for (guint i = 0; i < fake->ids->len; i++)
    {
      g_autofree char *variable = g_strdup_printf ("$%u", i + 1);
      g_string_replace (out, variable, g_ptr_array_index (fake->ids, i), 0);
    }
  send_all (fake, out->str, out->len);
}

static void
do_step (FakeQmp *fake, const FakeStep *step)
{
  switch (step->action)
    {
    case FAKE_EXPECT:
      expect (fake, step->text);
      break;
    case FAKE_FD:
      expect (fake, step->text);
      if (fake->received_fd < 0)
        problem (fake, "no descriptor came with", step->text);
      break;
    case FAKE_SEND:
      send_text (fake, step->text);
      send_all (fake, "\r\n", 2);
      break;
    case FAKE_RAW:
      send_text (fake, step->text);
      break;
    case FAKE_FLOOD:
      for (guint i = 0; i < step->number; i++)
        {
          send_text (fake, step->text);
          send_all (fake, "\r\n", 2);
        }
      break;
    case FAKE_SLEEP:
      g_usleep (step->number * 1000);
      break;
    case FAKE_CLOSE:
      shutdown (fake->fd, SHUT_RDWR);
      break;
    case FAKE_END:
      break;
    }
}

static gpointer
serve (gpointer data)
{
  FakeQmp *fake = data;
  fake->fd = accept4 (fake->listener, NULL, NULL, SOCK_CLOEXEC);
  if (fake->fd < 0)
    return NULL;
  for (const FakeStep *step = fake->steps; step->action != FAKE_END && fake->problem == NULL;
       step++)
    do_step (fake, step);
  while (fake->problem == NULL && receive (fake))
    ;
  if (fake->input->len > 0)
    problem (fake, "more came than expected", fake->input->str);
  close (fake->fd);
  return NULL;
}

FakeQmp *
fake_qmp_start (const FakeStep *steps)
{
  FakeQmp *fake = g_new0 (FakeQmp, 1);
  fake->steps = steps;
  fake->received_fd = -1;
  fake->input = g_string_new (NULL);
  fake->ids = g_ptr_array_new_with_free_func (g_free);
  fake->directory = g_dir_make_tmp ("clusnap-fake-XXXXXX", NULL);
  fake->path = g_build_filename (fake->directory, "qmp", NULL);
  fake->listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address;
  set_address (&address, fake->path);
  if (bind (fake->listener, (struct sockaddr *)&address, sizeof address) < 0
      || listen (fake->listener, 1) < 0)
    g_error ("cannot listen at '%s': %s", fake->path, g_strerror (errno));
  fake->thread = g_thread_new ("fake-qmp", serve, fake);
  return fake;
}

const char *
fake_qmp_path (const FakeQmp *fake)
{
  return fake->path;
}

int
fake_qmp_connect (const FakeQmp *fake)
{
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address;
  set_address (&address, fake->path);
  if (connect (fd, (struct sockaddr *)&address, sizeof address) < 0)
    g_error ("cannot connect to '%s': %s", fake->path, g_strerror (errno));
  return fd;
}

char *
fake_qmp_finish (FakeQmp *fake)
{
  shutdown (fake->listener, SHUT_RDWR); /* in case that nobody ever connected */
  g_thread_join (fake->thread);
  close (fake->listener);
  if (fake->received_fd >= 0)
    close (fake->received_fd);
  g_unlink (fake->path);
  g_rmdir (fake->directory);
  g_string_free (fake->input, TRUE);
  g_ptr_array_unref (fake->ids);
  g_free (fake->path);
  g_free (fake->directory);
  char *result = g_steal_pointer (&fake->problem);
  g_free (fake);
  return result;
}
