//===- ZipArchive.cpp - entries of a zip file in memory
//--------------------===//

#include "compiler/import/archive/ZipArchive.h"

#include "compiler/import/ImportError.h"

#include "llvm/ADT/ScopeExit.h"

#include <zip.h>

using namespace gru;
using namespace llvm;

/// No deflated byte stands for more than this many bytes.
static constexpr uint64_t kLargestRatio = 1040;

void ZipArchive::Discard::operator()(zip_t *archive) const {
  zip_discard(archive);
}

static std::string takeText(zip_error_t &error) {
  std::string text = StringRef(zip_error_strerror(&error)).lower();
  zip_error_fini(&error);
  return text;
}

Expected<ZipArchive> ZipArchive::open(StringRef file, StringRef bytes) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t *source =
      zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  if (!source)
    return importError(file, "cannot read the archive: " + takeText(error));
  zip_t *archive = zip_open_from_source(source, ZIP_RDONLY, &error);
  if (!archive) {
    zip_source_free(source);
    return importError(file,
                       "damaged or truncated zip archive: " + takeText(error));
  }
  zip_error_fini(&error);
  return ZipArchive(file, bytes.size(), archive);
}

bool ZipArchive::contains(StringRef entry) const {
  return zip_name_locate(archive.get(), entry.str().c_str(), 0) >= 0;
}

std::vector<std::string> ZipArchive::getEntries() const {
  std::vector<std::string> names;
  for (zip_int64_t i = 0, n = zip_get_num_entries(archive.get(), 0); i < n; ++i)
    if (const char *name = zip_get_name(archive.get(), i, 0))
      names.push_back(name);
  return names;
}

bool ZipArchive::containsSuffix(StringRef suffix) const {
  for (zip_int64_t i = 0, n = zip_get_num_entries(archive.get(), 0); i < n; ++i)
    if (const char *name = zip_get_name(archive.get(), i, 0))
      if (StringRef(name).ends_with(suffix))
        return true;
  return false;
}

Expected<std::vector<char>> ZipArchive::read(StringRef entry,
                                             uint64_t limit) const {
  auto fail = [&](const Twine &what) {
    return importError(file, "entry '" + entry + "': " + what);
  };
  zip_int64_t index = zip_name_locate(archive.get(), entry.str().c_str(), 0);
  if (index < 0)
    return importError(file, "the archive has no entry '" + entry + "'");
  zip_stat_t stat;
  zip_stat_init(&stat);
  constexpr zip_uint64_t wanted = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE;
  if (zip_stat_index(archive.get(), index, 0, &stat) != 0 ||
      (stat.valid & wanted) != wanted)
    return fail("has no size");
  if (stat.size > limit)
    return fail("claims " + Twine(stat.size) + " bytes, expected at most " +
                Twine(limit));
  if (stat.comp_size > size ||
      stat.size > stat.comp_size * kLargestRatio + kLargestRatio)
    return fail("claims " + Twine(stat.size) + " bytes, found " +
                Twine(std::min<uint64_t>(stat.comp_size, size)) +
                " compressed bytes");

  zip_file_t *handle = zip_fopen_index(archive.get(), index, 0);
  if (!handle)
    return fail(StringRef(zip_strerror(archive.get())).lower());
  scope_exit close([&] { zip_fclose(handle); });
  std::vector<char> bytes(stat.size);
  uint64_t done = 0;
  while (done < stat.size) {
    zip_int64_t n = zip_fread(handle, bytes.data() + done, stat.size - done);
    if (n < 0)
      return fail(StringRef(zip_file_strerror(handle)).lower());
    if (n == 0)
      return fail("ends after " + Twine(done) + " bytes, expected " +
                  Twine(stat.size));
    done += n;
  }
  // Reading to the end is what makes the library compare the checksum.
  char extra;
  zip_int64_t n = zip_fread(handle, &extra, 1);
  if (n < 0)
    return fail(StringRef(zip_file_strerror(handle)).lower());
  if (n > 0)
    return fail("holds more than the " + Twine(stat.size) +
                " bytes that it claims");
  return bytes;
}
