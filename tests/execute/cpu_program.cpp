#include "execute/CpuProgram.h"

#include "support/Error.h"
#include "text/Texts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

using namespace strobe;

namespace {

/** A dense tensor of floats, innermost first. */
struct Data {
    std::vector<int64_t> sizes;
    std::vector<float> values;
    explicit Data(std::vector<int64_t> s, unsigned seed = 0)
        : sizes(std::move(s)) {
        int64_t n = 1;
        for (const int64_t e : sizes) {
            n *= e;
        }
        std::mt19937 random(seed);
        std::normal_distribution<float> normal;
        values.resize(n);
        for (float &x : values) {
            x = seed ? normal(random) : std::nanf("");
        }
    }
    HostTensor tensor() {
        std::vector<int64_t> strides;
        int64_t stride = 1;
        for (const int64_t e : sizes) {
            strides.push_back(stride);
            stride *= e;
        }
        return {values.data(), sizes, strides};
    }
    float at(int64_t d, int64_t s, int64_t h, int64_t b) const {
        return values[((b * sizes[2] + h) * sizes[1] + s) * sizes[0] + d];
    }
};

/** out and lse in float64, with the same meaning as the text's. */
void expect_attention(const Data &q, const Data &k, const Data &v, double scale,
                      const std::function<bool(int64_t, int64_t)> &mask, const Data &out, const Data &lse) {
    const int64_t group = q.sizes[2] / k.sizes[2], D = q.sizes[0];
    for (int64_t b = 0; b < q.sizes[3]; b++) {
        for (int64_t h = 0; h < q.sizes[2]; h++) {
            for (int64_t i = 0; i < q.sizes[1]; i++) {
                std::vector<double> o(D, 0.0);
                double sum = 0;
                for (int64_t j = 0; j < k.sizes[1]; j++) {
                    double s = 0;
                    for (int64_t d = 0; d < D; d++) {
                        s += double(q.at(d, i, h, b)) * k.at(d, j, h / group, b);
                    }
                    const double e = mask(i, j) ? std::exp(s * scale) : 0;
                    sum += e;
                    for (int64_t d = 0; d < D; d++) {
                        o[d] += e * v.at(d, j, h / group, b);
                    }
                }
                const float got = lse.values[(b * q.sizes[2] + h) * q.sizes[1] + i];
                if (sum == 0) {
                    ASSERT_EQ(got, -HUGE_VALF) << "lse of row " << i;
                } else {
                    ASSERT_NEAR(got, std::log(sum), 1e-4) << "lse of row " << i << " head " << h;
                }
                for (int64_t d = 0; d < D; d++) {
                    ASSERT_NEAR(out.at(d, i, h, b), sum == 0 ? 0 : o[d] / sum, 2e-5)
                        << "out at d=" << d << " i=" << i << " h=" << h << " b=" << b;
                }
            }
        }
    }
}

}  // namespace

TEST(CpuProgram, CausalOfSeveralLengths) {
    const CpuProgram program(attention_text(masked(causal_mask)));
    for (const auto &[queries, keys] : {std::pair{37, 37}, {5, 70}, {70, 5}, {1, 1}}) {
        Data q({16, queries, 4, 2}, 1), k({16, keys, 2, 2}, 2), v({16, keys, 2, 2}, 3), out({16, queries, 4, 2}),
            lse({queries, 4, 2});
        const auto sizes = output_sizes(program.algorithm(), {q.sizes, k.sizes, v.sizes});
        EXPECT_EQ(sizes, (std::vector<std::vector<int64_t>>{out.sizes, lse.sizes}));
        program.run({q.tensor(), k.tensor(), v.tensor()}, {0.25}, {out.tensor(), lse.tensor()});
        expect_attention(q, k, v, 0.25, [](int64_t i, int64_t j) { return j <= i; }, out, lse);
    }
}

TEST(CpuProgram, AnyStride) {
    const CpuProgram program(attention_text(masked(causal_mask)));
    Data q({16, 20, 2, 1}, 1), k({16, 20, 2, 1}, 2), v({16, 20, 2, 1}, 3), out({16, 20, 2, 1}), lse({20, 2, 1});
    // k with positions innermost.
    Data turned({20, 16, 2, 1});
    for (int64_t h = 0; h < 2; h++) {
        for (int64_t s = 0; s < 20; s++) {
            for (int64_t d = 0; d < 16; d++) {
                turned.values[(h * 16 + d) * 20 + s] = k.at(d, s, h, 0);
            }
        }
    }
    HostTensor view = turned.tensor();
    std::swap(view.sizes[0], view.sizes[1]);
    std::swap(view.strides[0], view.strides[1]);
    program.run({q.tensor(), view, v.tensor()}, {0.25}, {out.tensor(), lse.tensor()});
    expect_attention(q, k, v, 0.25, [](int64_t i, int64_t j) { return j <= i; }, out, lse);
}

TEST(CpuProgram, RowsWithoutKeys) {
    const CpuProgram program(attention_text(masked(R"(["lt", "j", ["sub", "i", ["const", "int32", 3]]])")));
    Data q({16, 9, 1, 1}, 1), k({16, 9, 1, 1}, 2), v({16, 9, 1, 1}, 3), out({16, 9, 1, 1}), lse({9, 1, 1});
    program.run({q.tensor(), k.tensor(), v.tensor()}, {0.25}, {out.tensor(), lse.tensor()});
    expect_attention(q, k, v, 0.25, [](int64_t i, int64_t j) { return j < i - 3; }, out, lse);
}

TEST(CpuProgram, LengthsAndTablesInTheMask) {
    // A length for each sequence of the batch, looked up through a table.
    const std::string more = R"(, {"name": "lengths", "type": "int64", "sizes": ["B"]},
                                  {"name": "which", "type": "int32", "sizes": ["N"]})";
    const std::string mask = R"(["lt", ["cast", "int64", ["load", "which", "j"]], ["load", "lengths", "b"]])";
    const CpuProgram program(attention_text(masked(mask), "float32", 16, more));
    Data q({16, 40, 2, 2}, 1), k({16, 40, 2, 2}, 2), v({16, 40, 2, 2}, 3), out({16, 40, 2, 2}), lse({40, 2, 2});
    std::vector<int64_t> lengths = {23, 23};
    std::vector<int32_t> which(40);
    for (int n = 0; n < 40; n++) {
        which[n] = n;
    }
    const HostTensor length{lengths.data(), {2}, {1}}, table{which.data(), {40}, {1}};
    program.run({q.tensor(), k.tensor(), v.tensor(), length, table}, {0.25}, {out.tensor(), lse.tensor()});
    expect_attention(q, k, v, 0.25, [](int64_t, int64_t j) { return j < 23; }, out, lse);
}

TEST(CpuProgram, ElementsOfElements) {
    const std::string more = R"(, {"name": "start", "type": "int32", "sizes": ["N"]},
                                  {"name": "document", "type": "int32", "sizes": ["Sk"]})";
    const std::string mask = R"(["and", ["ge", "j", ["load", "start", ["load", "document", "i"]]], ["le", "j", "i"]])";
    const CpuProgram program(attention_text(masked(mask), "float32", 16, more));
    Data q({16, 40, 2, 1}, 1), k({16, 40, 2, 1}, 2), v({16, 40, 2, 1}, 3), out({16, 40, 2, 1}), lse({40, 2, 1});
    std::vector<int32_t> start = {0, 11, 30}, document(40);
    for (int n = 0; n < 40; n++) {
        document[n] = n < 11 ? 0 : n < 30 ? 1 : 2;
    }
    const HostTensor starts{start.data(), {3}, {1}}, documents{document.data(), {40}, {1}};
    program.run({q.tensor(), k.tensor(), v.tensor(), starts, documents}, {0.25}, {out.tensor(), lse.tensor()});
    expect_attention(
        q, k, v, 0.25, [&](int64_t i, int64_t j) { return j >= start[document[i]] && j <= i; }, out, lse);
}
