//===- Profile.cpp - where the time of a call goes ------------------------===//

#include "Profile.h"

#include "compiler/explain/MachineBounds.h"
#include "compiler/jit/DiskCache.h"
#include "dialect/GRUDialect.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

#include <algorithm>
#include <cstring>

using namespace gru;
using llvm::format;
using llvm::formatv;
using llvm::raw_ostream;
using llvm::StringRef;

static double median(std::vector<double> &values) {
  auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

llvm::Expected<Profile>
gru::profileCall(const Model &model, CompileOptions options, const Call &call) {
  options.profile = true;
  options.on_phase = {};
  options.on_remark = {};
  Result<Program> program = compile(model, options);
  if (!program)
    return toLLVM(program.error());

  // Ticks of each layer, by run; and the host's own clock, which says how long
  // a tick is.
  std::vector<TensorInfo> outputs = program->outputs();
  Profile profile;
  std::vector<size_t> places;
  for (auto [place, output] : llvm::enumerate(outputs)) {
    StringRef name = output.name;
    if (!name.consume_front(kProfilePrefix))
      continue;
    profile.emplace_back().name = name.str();
    places.push_back(place);
  }
  if (profile.empty())
    return llvm::createStringError("profile: the model has nothing to time");
  std::vector<std::vector<double>> ticks(profile.size());
  std::vector<double> wall;
  std::vector<uint64_t> distinctBytes(profile.size());
  if (llvm::Error error = repeatCall(
          *program, call,
          [&](double nanoseconds, const std::vector<Array> &results) {
            wall.push_back(nanoseconds);
            for (size_t i = 0; i < places.size(); ++i) {
              int64_t values[4];
              std::memcpy(values, results[places[i]].data.data(),
                          sizeof(values));
              ticks[i].push_back(double(values[0]));
              profile[i].flops = double(values[1]);
              profile[i].bytes = double(values[2]);
              distinctBytes[i] = uint64_t(values[3]);
            }
          }))
    return std::move(error);

  MachineBounds machine =
      MachineBounds::get(options.cache_dir ? *options.cache_dir
                                           : DiskCache::getDefaultDirectory());
  double whole = median(ticks.back());
  double nanosecondsPerTick = whole > 0 ? median(wall) / whole : 0;
  for (auto [layer, values, distinct] :
       llvm::zip_equal(profile, ticks, distinctBytes)) {
    layer.nanoseconds = median(values) * nanosecondsPerTick;
    layer.boundNanoseconds =
        machine.getNanoseconds(layer.flops, layer.bytes, distinct);
  }
  double sum = 0;
  for (const LayerProfile &layer : llvm::ArrayRef(profile).drop_back())
    sum += layer.boundNanoseconds;
  profile.back().boundNanoseconds = sum;
  return profile;
}

static double part(double value, double of) { return of > 0 ? value / of : 0; }

void gru::printProfile(raw_ostream &os, const Profile &profile) {
  size_t width = 5;
  for (const LayerProfile &layer : profile)
    width = std::max(width, layer.name.size());
  os << llvm::left_justify("layer", width)
     << "       time/us  of call      MFLOP      GFLOP/s        kB"
        "     GB/s  of bound\n";
  for (const LayerProfile &layer : profile)
    os << llvm::left_justify(layer.name.empty() ? "call" : layer.name, width)
       << format("%14.3f  %6.1f %%", layer.nanoseconds / 1e3,
                 100 * part(layer.nanoseconds, profile.back().nanoseconds))
       << format(" %10.4f %12.2f", layer.flops / 1e6,
                 part(layer.flops, layer.nanoseconds))
       << format(" %9.1f %8.2f", layer.bytes / 1e3,
                 part(layer.bytes, layer.nanoseconds))
       << format("  %6.1f %%\n",
                 100 * part(layer.boundNanoseconds, layer.nanoseconds));
}

static llvm::json::Value toJSON(StringRef model, const Profile &profile) {
  auto describe = [](const LayerProfile &layer) {
    return llvm::json::Object{{"nanoseconds", layer.nanoseconds},
                              {"flops", layer.flops},
                              {"bytes", layer.bytes},
                              {"bound_nanoseconds", layer.boundNanoseconds}};
  };
  llvm::json::Array layers;
  for (const LayerProfile &layer : llvm::ArrayRef(profile).drop_back()) {
    llvm::json::Object object = describe(layer);
    object["name"] = layer.name;
    layers.push_back(std::move(object));
  }
  return llvm::json::Object{{"model", model},
                            {"call", describe(profile.back())},
                            {"layers", std::move(layers)}};
}

static std::string escaped(StringRef text) {
  std::string result;
  for (char c : text)
    switch (c) {
    case '<':
      result += "&lt;";
      break;
    case '&':
      result += "&amp;";
      break;
    default:
      result += c;
    }
  return result;
}

/// One bar a layer: its time, and in it what the machine needs at least.
static void writePage(raw_ostream &os, StringRef model,
                      const Profile &profile) {
  llvm::ArrayRef<LayerProfile> layers = llvm::ArrayRef(profile).drop_back();
  constexpr int row = 26, left = 220, bar = 560;
  double longest = 0;
  for (const LayerProfile &layer : layers)
    longest = std::max({longest, layer.nanoseconds, layer.boundNanoseconds});
  os << "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
     << "<title>" << escaped(model) << "</title>\n"
     << "<style>body{font:14px sans-serif;margin:2em}"
        "table{border-collapse:collapse}"
        "td,th{padding:2px 12px;text-align:right;border-bottom:1px solid #ddd}"
        "td:first-child,th:first-child{text-align:left}"
        "text{font:13px sans-serif}</style></head><body>\n"
     << "<h1>" << escaped(model) << "</h1>\n<p>"
     << formatv("{0:f3}", profile.back().nanoseconds / 1e3)
     << " &micro;s a call. Light: the time of a layer. Dark: the least that one "
        "core of this machine could take for its operations and bytes.</p>\n"
     << formatv("<svg width=\"{0}\" height=\"{1}\" role=\"img\">\n",
                left + bar + 120, row * layers.size() + 4);
  for (auto [i, layer] : llvm::enumerate(layers)) {
    double scale = longest > 0 ? bar / longest : 0;
    int y = int(i) * row;
    os << formatv("<text x=\"{0}\" y=\"{1}\" text-anchor=\"end\">{2}</text>",
                  left - 8, y + 17, escaped(layer.name))
       << formatv("<rect x=\"{0}\" y=\"{1}\" width=\"{2:f1}\" height=\"18\" "
                  "fill=\"#9ecae1\"/>",
                  left, y + 4, layer.nanoseconds * scale)
       << formatv("<rect x=\"{0}\" y=\"{1}\" width=\"{2:f1}\" height=\"8\" "
                  "fill=\"#08519c\"/>",
                  left, y + 9, layer.boundNanoseconds * scale)
       << formatv("<text x=\"{0:f1}\" y=\"{1}\">{2:f2} &micro;s</text>\n",
                  left + layer.nanoseconds * scale + 6, y + 17,
                  layer.nanoseconds / 1e3);
  }
  os << "</svg>\n<table><tr><th>layer</th><th>&micro;s</th><th>of call</th>"
        "<th>MFLOP</th><th>GFLOP/s</th><th>kB</th><th>GB/s</th>"
        "<th>of bound</th></tr>\n";
  for (const LayerProfile &layer : profile)
    os << formatv(
        "<tr><td>{0}</td><td>{1:f3}</td><td>{2:P1}</td><td>{3:f4}</td>"
        "<td>{4:f2}</td><td>{5:f1}</td><td>{6:f2}</td><td>{7:P1}</td></tr>\n",
        layer.name.empty() ? "call" : escaped(layer.name),
        layer.nanoseconds / 1e3,
        part(layer.nanoseconds, profile.back().nanoseconds), layer.flops / 1e6,
        part(layer.flops, layer.nanoseconds), layer.bytes / 1e3,
        part(layer.bytes, layer.nanoseconds),
        part(layer.boundNanoseconds, layer.nanoseconds));
  os << "</table></body></html>\n";
}

llvm::Error gru::writeProfile(StringRef model, StringRef file,
                              const Profile &profile) {
  std::error_code failed;
  llvm::raw_fd_ostream os(file, failed);
  if (failed)
    return llvm::createStringError(file + ": " + failed.message());
  if (file.ends_with(".html"))
    writePage(os, model, profile);
  else
    os << formatv("{0:2}\n", toJSON(model, profile));
  os.close();
  if (os.has_error()) {
    std::string text = os.error().message();
    os.clear_error();
    return llvm::createStringError(file + ": " + text);
  }
  return llvm::Error::success();
}
