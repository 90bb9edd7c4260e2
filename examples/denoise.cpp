//===- denoise.cpp - a noisy recording in, a clean one out ----------------===//
//
// A streaming speech enhancer as an ONNX model (test/golden/models/gtcrn).
// Every 16 ms the spectrum of the last 512 samples goes in and the spectrum of
// the clean sound comes out; what the network remembers goes in and out beside
// it.
//
//   example-denoise MODEL NOISY.wav CLEAN.wav [EXPECTED.wav]
//
//===----------------------------------------------------------------------===//

#include "wav.h"

#include "gru/gru.hpp"

#include <chrono>
#include <complex>
#include <cstdio>
#include <numbers>

static constexpr size_t window = 512, hop = 256, bins = window / 2 + 1;

static int fail(const std::string &message) {
  std::fprintf(stderr, "denoise: error: %s\n", message.c_str());
  return 1;
}

/// The discrete Fourier transform of `n` values, a power of two, `stride`
/// apart; with sign 1 the inverse one, times n.
static void fourier(const std::complex<float> *in, std::complex<float> *out,
                    size_t n, size_t stride, float sign) {
  if (n == 1) {
    *out = *in;
    return;
  }
  fourier(in, out, n / 2, 2 * stride, sign);
  fourier(in + stride, out + n / 2, n / 2, 2 * stride, sign);
  for (size_t k = 0; k < n / 2; ++k) {
    float angle = sign * 2 * std::numbers::pi_v<float> * float(k) / float(n);
    std::complex<float> even = out[k],
                        odd = std::polar(1.f, angle) * out[k + n / 2];
    out[k] = even + odd;
    out[k + n / 2] = even - odd;
  }
}

int main(int argc, char **argv) {
  if (argc < 4)
    return fail("expected denoise MODEL NOISY.wav CLEAN.wav [EXPECTED.wav]");
  wav::Sound sound = wav::read(argv[2]);
  if (sound.channels.size() != 1 || sound.rate != 16000)
    return fail(std::string(argv[2]) +
                ": expected one channel of 16 bits at 16 kHz");
  auto model = gru::Model::load(argv[1]);
  if (!model)
    return fail(model.error().message());
  auto program = gru::compile(*model, {.batch = 1});
  if (!program)
    return fail(program.error().message());
  gru::Session session = program->session();

  // The first input and output are the spectra, [1, bins, 1, 2]; the others are
  // what the network remembers, which is zeros in the beginning.
  std::vector<std::vector<float>> inputs, outputs;
  std::vector<gru::TensorView> in, out;
  for (const gru::TensorInfo &tensor : program->inputs()) {
    size_t size = 1;
    for (int64_t dim : tensor.dims)
      size *= size_t(dim);
    inputs.emplace_back(size);
    outputs.emplace_back(size);
    in.emplace_back(inputs.back().data(), gru::DType::f32, tensor.dims);
    out.emplace_back(outputs.back().data(), gru::DType::f32, tensor.dims);
  }
  if (inputs.size() != program->outputs().size() ||
      inputs[0].size() != 2 * bins)
    return fail(std::string(argv[1]) + ": is not a model of this kind");

  std::vector<float> hann(window);
  for (size_t i = 0; i < window; ++i)
    hann[i] = std::sin(std::numbers::pi_v<float> * float(i) / float(window));
  std::vector<float> noisy(hop, 0.f), clean;
  noisy.insert(noisy.end(), sound.channels[0].begin(), sound.channels[0].end());
  clean.resize(noisy.size());
  std::vector<std::complex<float>> samples(window), spectrum(window);
  std::chrono::duration<double> time{};
  size_t frames = 0;
  for (size_t at = 0; at + window <= noisy.size(); at += hop, ++frames) {
    for (size_t i = 0; i < window; ++i)
      samples[i] = noisy[at + i] * hann[i];
    fourier(samples.data(), spectrum.data(), window, 1, -1);
    for (size_t k = 0; k < bins; ++k) {
      inputs[0][2 * k] = spectrum[k].real();
      inputs[0][2 * k + 1] = spectrum[k].imag();
    }

    auto begin = std::chrono::steady_clock::now();
    if (auto done = session.run(in, out); !done)
      return fail(done.error().message());
    time += std::chrono::steady_clock::now() - begin;
    for (size_t i = 1; i < inputs.size(); ++i)
      inputs[i] = outputs[i];

    // The spectrum of real samples is its own mirror image.
    for (size_t k = 0; k < bins; ++k)
      spectrum[k] = {outputs[0][2 * k], outputs[0][2 * k + 1]};
    for (size_t k = bins; k < window; ++k)
      spectrum[k] = std::conj(spectrum[window - k]);
    fourier(spectrum.data(), samples.data(), window, 1, 1);
    for (size_t i = 0; i < window; ++i)
      clean[at + i] += samples[i].real() * hann[i] / float(window);
  }
  clean.erase(clean.begin(), clean.begin() + hop);

  double perFrame = time.count() / double(frames);
  std::printf("%zu frames, %.0f us each: %.2f %% of the time there is\n",
              frames, perFrame * 1e6, perFrame / 0.016 * 100);
  if (!wav::write(argv[3], {sound.rate, {clean}}))
    return fail(std::string(argv[3]) + ": cannot write");
  if (argc > 4) {
    wav::Sound expected = wav::read(argv[4]);
    // The last frame is not complete; the first begins with silence here and
    // with a mirrored signal in the expected file.
    size_t end = clean.size() - window;
    if (expected.channels.empty() || expected.channels[0].size() < end)
      return fail(std::string(argv[4]) + ": too short");
    float worst = 0;
    for (size_t i = window; i < end; ++i)
      worst = std::max(worst, std::abs(clean[i] - expected.channels[0][i]));
    std::printf("largest difference from %s: %.5f\n", argv[4], worst);
    if (!(worst < 0.01f))
      return fail("the sound differs");
  }
  return 0;
}
