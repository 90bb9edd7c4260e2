//===- wav.h - WAV files of 16 bits, as far as the examples need them -----===//

#ifndef GRU_EXAMPLES_WAV_H
#define GRU_EXAMPLES_WAV_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace wav {

/// Samples from -1 to 1, one vector per channel, all of one length.
struct Sound {
  uint32_t rate = 0;
  std::vector<std::vector<float>> channels;
};

inline bool write(const std::string &path, const Sound &sound) {
  std::ofstream file(path, std::ios::binary);
  auto number = [&](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i)
      file.put(char(value >> (8 * i)));
  };
  uint32_t frame = uint32_t(2 * sound.channels.size());
  uint32_t size = uint32_t(sound.channels[0].size()) * frame;
  file << "RIFF";
  number(36 + size, 4);
  file << "WAVEfmt ";
  number(16, 4);
  number(1, 2); // plain numbers
  number(uint32_t(sound.channels.size()), 2);
  number(sound.rate, 4);
  number(sound.rate * frame, 4);
  number(frame, 2);
  number(16, 2);
  file << "data";
  number(size, 4);
  for (size_t i = 0; i < sound.channels[0].size(); ++i)
    for (const std::vector<float> &channel : sound.channels) {
      float value = std::clamp(channel[i], -1.f, 1.f);
      number(uint16_t(int16_t(std::lrint(value * 32767))), 2);
    }
  return bool(file.flush());
}

/// No channels if the file is not one that can be read.
inline Sound read(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  auto number = [&](size_t at, int count) {
    uint32_t value = 0;
    for (int i = 0; i < count; ++i)
      value |= uint32_t(uint8_t(bytes[at + i])) << (8 * i);
    return value;
  };
  Sound sound;
  uint32_t channels = 0;
  if (bytes.size() < 12 || bytes.compare(8, 4, "WAVE") != 0)
    return sound;
  for (size_t at = 12; at + 8 <= bytes.size();) {
    size_t size = number(at + 4, 4), begin = at + 8;
    size_t end = std::min(begin + size, bytes.size());
    if (bytes.compare(at, 4, "fmt ") == 0 && end - begin >= 16) {
      if (number(begin, 2) != 1 || number(begin + 14, 2) != 16)
        return sound;
      channels = number(begin + 2, 2);
      sound.rate = number(begin + 4, 4);
    }
    if (bytes.compare(at, 4, "data") == 0 && channels > 0) {
      sound.channels.resize(channels);
      for (; begin + 2 * channels <= end; begin += 2 * channels)
        for (uint32_t c = 0; c < channels; ++c)
          sound.channels[c].push_back(int16_t(number(begin + 2 * c, 2)) /
                                      32768.f);
      return sound;
    }
    at = begin + size + size % 2;
  }
  return sound;
}

} // namespace wav

#endif // GRU_EXAMPLES_WAV_H
