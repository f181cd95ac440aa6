// A user's program: causal attention on a GPU, from host memory to host memory.
// Without a CUDA driver it must fail with an error that says so.

#include "gpu_causal.h"

#include <HalideBuffer.h>

#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

namespace {

std::string reported;

void remember(void *, const char *text) {
    reported += text;
}

constexpr int features = 64, length = 200, heads = 2, batch = 1;

uint16_t to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
float from_bf16(uint16_t x) {
    const uint32_t bits = uint32_t(x) << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

using Tensor = Halide::Runtime::Buffer<void, 4>;

Tensor random_tensor(int seed) {
    Tensor t(halide_type_t(halide_type_bfloat, 16), features, length, heads, batch);
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    auto *data = static_cast<uint16_t *>(t.data());
    for (size_t n = 0; n < t.number_of_elements(); n++) {
        data[n] = to_bf16(normal(generator));
    }
    t.set_host_dirty();
    return t;
}

float at(const Tensor &t, int d, int s, int h) {
    return from_bf16(static_cast<const uint16_t *>(t.data())[(h * length + s) * features + d]);
}

/** The largest difference from the same in float64. */
double largest_error(const Tensor &q, const Tensor &k, const Tensor &v, const Tensor &out, float scale) {
    double worst = 0;
    std::vector<double> p(length);
    for (int h = 0; h < heads; h++) {
        for (int i = 0; i < length; i++) {
            double sum = 0;
            for (int j = 0; j <= i; j++) {
                double s = 0;
                for (int d = 0; d < features; d++) {
                    s += double(at(q, d, i, h)) * at(k, d, j, h);
                }
                sum += p[j] = std::exp(s * scale);
            }
            for (int d = 0; d < features; d++) {
                double o = 0;
                for (int j = 0; j <= i; j++) {
                    o += p[j] / sum * at(v, d, j, h);
                }
                const double difference = std::abs(o - at(out, d, i, h));
                worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
            }
        }
    }
    return worst;
}

}  // namespace

int main() {
    halide_set_error_handler(remember);
    Tensor q = random_tensor(1), k = random_tensor(2), v = random_tensor(3);
    Tensor out(halide_type_t(halide_type_bfloat, 16), features, length, heads, batch);
    Halide::Runtime::Buffer<float, 3> lse(length, heads, batch);
    const float scale = 0.125f;
    const int code = gpu_causal(q, k, v, scale, out, lse);
    if (code != 0) {
        const bool no_driver = reported.find("libcuda") != std::string::npos ||
                               reported.find("CUDA") != std::string::npos || reported.find("cuda") != std::string::npos;
        printf("code %d: %s\n%s\n", code, reported.c_str(),
               no_driver ? "no GPU here: the program said so" : "unexpected error");
        return no_driver ? 0 : 1;
    }
    out.copy_to_host();
    const double error = largest_error(q, k, v, out, scale);
    printf("largest error %g\n", error);
    return error < 0.02 ? 0 : 1;
}
