#include "config.h"

#include "common/error.h"
#include "tests/unit/unit.h"
#include "vmm/devstate.h"

#include <string.h>

static void
put_be32 (GByteArray *out, guint32 value)
{
  guint32 big = GUINT32_TO_BE (value);
  g_byte_array_append (out, (const guint8 *)&big, 4);
}

static void
put_header (GByteArray *out, guint32 id, const char *name)
{
  guint8 length = (guint8)strlen (name);
  g_byte_array_append (out, (const guint8 *)"\x04", 1);
  put_be32 (out, id);
  g_byte_array_append (out, &length, 1);
  g_byte_array_append (out, (const guint8 *)name, length);
  put_be32 (out, 0);
  put_be32 (out, 1);
}

static void
put_footer (GByteArray *out, guint32 id)
{
  g_byte_array_append (out, (const guint8 *)"\x7e", 1);
  put_be32 (out, id);
}

static GByteArray *
begin (void)
{
  GByteArray *out = g_byte_array_new ();
  g_byte_array_append (out, (const guint8 *)"QEVM", 4);
  put_be32 (out, 3);
  return out;
}

static void
put_section (GByteArray *out, guint32 id, const char *name, const char *body)
{
  put_header (out, id, name);
  g_byte_array_append (out, (const guint8 *)body, (guint)strlen (body));
  put_footer (out, id);
}

static bool
is_good (const GByteArray *stream)
{
  g_autoptr (GError) error = NULL;
  bool good = cs_device_state_check (stream->data, stream->len, &error);
  if (!good)
    unit_assert_error (error, CS_ERROR_CORRUPT);
  return good;
}

static GByteArray *
sample (void)
{
  GByteArray *stream = begin ();
  put_section (stream, 0, "timer", "body");
  put_section (stream, 9, "cpu_common", "");
  put_section (stream, 3, "0000:00:01.0/virtio-net", "~~~~~~~~");
  g_byte_array_append (stream, (const guint8 *)"\0", 1);
  return stream;
}

START_TEST (good_stream)
{
  g_autoptr (GByteArray) stream = sample ();
  ck_assert (is_good (stream));
}
END_TEST

START_TEST (no_prefix_or_longer_one)
{
  g_autoptr (GByteArray) stream = sample ();
  guint whole = stream->len;
  for (guint length = 0; length < whole; length++)
    ck_assert_msg (!cs_device_state_check (stream->data, length, NULL), "%u", length);
  g_byte_array_append (stream, (const guint8 *)"\0", 1);
  ck_assert (!is_good (stream));
}
END_TEST

START_TEST (every_framing_byte_counts)
{
  g_autoptr (GByteArray) stream = sample ();
  /* Magic, version; the first section's type and id, its footer's tag and id. */
  static const guint at[] = { 0, 3, 7, 8, 9, 12, 31, 32, 35 };
  for (guint i = 0; i < G_N_ELEMENTS (at); i++)
    {
      stream->data[at[i]] ^= 0x41;
      ck_assert_msg (!is_good (stream), "byte %u", at[i]);
      stream->data[at[i]] ^= 0x41;
    }
  ck_assert (is_good (stream));
}
END_TEST

/* A body with the marks of its own footer and of another section's header in it. */
START_TEST (body_that_looks_like_framing)
{
  g_autoptr (GByteArray) stream = begin ();
  put_header (stream, 1, "a");
  put_footer (stream, 1);
  put_header (stream, 77, "fake");
  put_footer (stream, 5);
  put_header (stream, 2, "b");
  put_footer (stream, 1);
  g_byte_array_append (stream, (const guint8 *)"\0", 1);
  ck_assert (is_good (stream));
  /* The same, but no cut of it closes: the last footer names a section that is open only in
   * what would have to be a body. */
  g_autoptr (GByteArray) bad = begin ();
  put_header (bad, 1, "a");
  put_footer (bad, 5);
  put_header (bad, 2, "b");
  put_footer (bad, 2);
  g_byte_array_append (bad, (const guint8 *)"\0", 1);
  ck_assert (!is_good (bad));
}
END_TEST

START_TEST (hostile_names_and_empty)
{
  g_autoptr (GByteArray) none = begin ();
  g_byte_array_append (none, (const guint8 *)"\0", 1);
  ck_assert (!is_good (none));
  g_autoptr (GByteArray) name = begin ();
  put_section (name, 1, "a\nb", "x");
  g_byte_array_append (name, (const guint8 *)"\0", 1);
  ck_assert (!is_good (name));
  g_autoptr (GByteArray) empty = begin ();
  put_section (empty, 1, "", "x");
  g_byte_array_append (empty, (const guint8 *)"\0", 1);
  ck_assert (!is_good (empty));
}
END_TEST

/* All of one byte that means something: must end, and in linear time. */
START_TEST (floods)
{
  static const guint8 fills[] = { 0x7e, 0x04, 0x00 };
  for (guint i = 0; i < G_N_ELEMENTS (fills); i++)
    {
      g_autoptr (GByteArray) stream = sample ();
      guint begin_at = stream->len - 1;
      g_byte_array_set_size (stream, 16 << 20);
      memset (stream->data + begin_at, fills[i], stream->len - begin_at);
      ck_assert (!cs_device_state_check (stream->data, stream->len, NULL));
    }
}
END_TEST

/* What QEMU 10.0 wrote; then with its last footer's mark changed. */
START_TEST (real_stream)
{
  const char *srcdir = g_getenv ("srcdir");
  g_autofree char *path =
      g_build_filename (srcdir != NULL ? srcdir : ".", "tests/fuzz/devstate/qemu-10.0", NULL);
  g_autofree char *data = NULL;
  gsize length;
  ck_assert_msg (g_file_get_contents (path, &data, &length, NULL), "%s", path);
  ck_assert (cs_device_state_check (data, length, NULL));
  ck_assert (!cs_device_state_check (data, length - 1, NULL));
  data[length - 6] ^= 1;
  ck_assert (!cs_device_state_check (data, length, NULL));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("devstate");
  TCase *tests = tcase_create ("check");
  tcase_set_timeout (tests, 60);
  tcase_add_test (tests, good_stream);
  tcase_add_test (tests, no_prefix_or_longer_one);
  tcase_add_test (tests, every_framing_byte_counts);
  tcase_add_test (tests, body_that_looks_like_framing);
  tcase_add_test (tests, hostile_names_and_empty);
  tcase_add_test (tests, floods);
  tcase_add_test (tests, real_stream);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
