// Algorithms that are not softmax attention, from bare Funcs to numbers, against a direct evaluation in double.
#include "HandMade.h"

#include "algorithm/ReadAlgorithm.h"
#include "derivation/DeriveOnline.h"
#include "strobe/attention.h"
#include "tile/PrintTiles.h"
#include "tile/VerifyTiles.h"

#include <gtest/gtest.h>

using namespace strobe;
using namespace strobe::test;
using Halide::Func;
using Halide::RDom;
using Halide::Var;

namespace {

const Sizes sizes{21, 27, 1, 1, 1, 4, 3};

/** The Funcs that an algorithm is written with. */
struct Pieces {
    ImageParam q{Halide::Float(32), 4, "q"}, k{Halide::Float(32), 4, "k"}, v{Halide::Float(32), 4, "v"};
    ImageParam bias{Halide::Float(32), 2, "bias"};
    Var i{"i"}, j{"j"}, h{"h"}, b{"b"}, d{"d"};
    Func s{"s"}, out{"out"};
    RDom all;

    Pieces() {
        q.dim(0).set_bounds(0, sizes.features);
        k.dim(0).set_bounds(0, sizes.features);
        v.dim(0).set_bounds(0, sizes.values);
        s = scores(Tensor(q), Tensor(k));
        all = RDom(0, k.dim(1).extent(), "j");
    }

    /** sum over j of body(j, i, h, b), a value a row. */
    Func row(const std::string &name, const std::function<Expr(Expr j)> &body) {
        Func f(name);
        f(i, h, b) += body(all);
        return f;
    }

    /** out(d, i, h, b) = sum over j of body. */
    Func column(const std::string &name, const std::function<Expr(Expr j, Expr v)> &body) {
        Func f(name);
        f(d, i, h, b) += body(all, v(d, all, h, b));
        return f;
    }
};

/** One row: the scores, the values of one column, and a bias. */
struct Row {
    std::vector<double> s, v, bias;
};

struct Algorithm {
    const char *name;
    size_t passes;
    std::function<Expr(Pieces &)> define;         // out(d, i, h, b)
    std::function<double(const Row &)> directly;  // one element of it
};

std::ostream &operator<<(std::ostream &stream, const Algorithm &a) {
    return stream << a.name;
}

double sum_of(const Row &r, const std::function<double(size_t j)> &body) {
    double sum = 0;
    for (size_t j = 0; j < r.s.size(); j++) {
        sum += body(j);
    }
    return sum;
}

double relu(double x) {
    return std::max(x, 0.0);
}

const Algorithm algorithms[] = {
    {"softmax_without_maximum", 1,
     [](Pieces &p) {
         Func l = p.row("l", [&](Expr j) { return exp(p.s(j, p.i, p.h, p.b)); });
         Func o = p.column("o", [&](Expr j, Expr v) { return exp(p.s(j, p.i, p.h, p.b)) * v; });
         return o(p.d, p.i, p.h, p.b) / l(p.i, p.h, p.b);
     },
     [](const Row &r) {
         return sum_of(r, [&](size_t j) { return std::exp(r.s[j]) * r.v[j]; }) /
                sum_of(r, [&](size_t j) { return std::exp(r.s[j]); });
     }},
    {"weights_inside_the_sum", 1,
     [](Pieces &p) {
         Func l = p.row("l", [&](Expr j) { return exp(p.s(j, p.i, p.h, p.b)); });
         Func o = p.column("o", [&](Expr j, Expr v) { return exp(p.s(j, p.i, p.h, p.b)) / l(p.i, p.h, p.b) * v; });
         return o(p.d, p.i, p.h, p.b);
     },
     [](const Row &r) {
         return sum_of(r, [&](size_t j) { return std::exp(r.s[j]) * r.v[j]; }) /
                sum_of(r, [&](size_t j) { return std::exp(r.s[j]); });
     }},
    {"bias_and_dropout", 1,
     [](Pieces &p) {
         const auto e = [&](Expr j) { return exp(p.s(j, p.i, p.h, p.b) + p.bias(j, p.i)); };
         Func l = p.row("l", e);
         Func o = p.column("o", [&](Expr j, Expr v) { return e(j) * select(p.bias(j, p.i) > 0.0f, 2.0f, 0.0f) * v; });
         return o(p.d, p.i, p.h, p.b) / l(p.i, p.h, p.b);
     },
     [](const Row &r) {
         const auto e = [&](size_t j) { return std::exp(r.s[j] + r.bias[j]); };
         return sum_of(r, [&](size_t j) { return r.bias[j] > 0 ? 2 * e(j) * r.v[j] : 0; }) / sum_of(r, e);
     }},
    {"relu_with_normaliser", 1,
     [](Pieces &p) {
         const auto w = [&](Expr j) { return max(p.s(j, p.i, p.h, p.b), 0.0f); };
         Func l = p.row("l", w);
         Func o = p.column("o", [&](Expr j, Expr v) { return w(j) * v; });
         return o(p.d, p.i, p.h, p.b) / (l(p.i, p.h, p.b) + 0.5f);
     },
     [](const Row &r) {
         return sum_of(r, [&](size_t j) { return relu(r.s[j]) * r.v[j]; }) /
                (sum_of(r, [&](size_t j) { return relu(r.s[j]); }) + 0.5);
     }},
    {"above_the_mean", 2,
     [](Pieces &p) {
         const auto s = [&](Expr j) { return p.s(j, p.i, p.h, p.b); };
         Func mean = p.row("mean", s);
         const Expr m = mean(p.i, p.h, p.b) / Halide::cast<float>(p.k.dim(1).extent());
         Func o = p.column("o", [&](Expr j, Expr v) { return max(s(j) - m, 0.0f) * v; });
         return o(p.d, p.i, p.h, p.b);
     },
     [](const Row &r) {
         const double mean = sum_of(r, [&](size_t j) { return r.s[j]; }) / r.s.size();
         return sum_of(r, [&](size_t j) { return relu(r.s[j] - mean) * r.v[j]; });
     }},
    {"two_softmaxes", 1,
     [](Pieces &p) {
         const auto e = [&](Expr j) { return exp(p.s(j, p.i, p.h, p.b)); };
         const auto g = [&](Expr j) { return exp(p.bias(j, p.i) * 3.0f); };
         Func l = p.row("l", e), n = p.row("n", g);
         Func o = p.column("o", [&](Expr j, Expr v) { return e(j) * v; });
         Func w = p.column("w", [&](Expr j, Expr v) { return g(j) * v; });
         return o(p.d, p.i, p.h, p.b) / l(p.i, p.h, p.b) - 0.5f * w(p.d, p.i, p.h, p.b) / n(p.i, p.h, p.b);
     },
     [](const Row &r) {
         const auto e = [&](size_t j) { return std::exp(r.s[j]); };
         const auto g = [&](size_t j) { return std::exp(3 * r.bias[j]); };
         return sum_of(r, [&](size_t j) { return e(j) * r.v[j]; }) / sum_of(r, e) -
                0.5 * sum_of(r, [&](size_t j) { return g(j) * r.v[j]; }) / sum_of(r, g);
     }},
};

class OtherReductions : public testing::TestWithParam<Algorithm> {};

TEST_P(OtherReductions, AreExact) {
    Pieces p;
    p.out(p.d, p.i, p.h, p.b) = GetParam().define(p);
    p.out.output_buffer().dim(0).set_bounds(0, sizes.values);
    const ReductionGraph graph = read_algorithm({p.out});
    const Plan plan = derive_online(graph);
    EXPECT_EQ(plan.passes.size(), GetParam().passes) << graph << plan;
    Choices choices;
    choices.query_tile = choices.stream_tile = 8;
    const TileProgram program = build_tiles(GetParam().name, graph, plan, choices);
    verify_tiles(program);

    TileArguments a = random_arguments(Halide::Float(32), sizes, true, 21);
    a.buffers[p.out.name()] = a.buffers["out"];
    Halide::Buffer<float> bias(sizes.keys, sizes.queries);
    bias.for_each_element([&](int j, int i) { bias(j, i) = std::sin(7.0f * j + 3.0f * i); });
    a.buffers["bias"] = bias;
    interpret_tiles(program, a, {Arithmetic::Exact, false});

    for (int i = 0; i < sizes.queries; i++) {
        for (int c = 0; c < sizes.values; c++) {
            Row row;
            for (int j = 0; j < sizes.keys; j++) {
                double dot = 0;
                for (int d = 0; d < sizes.features; d++) {
                    dot += element(a.buffers["q"], {d, i, 0, 0}) * element(a.buffers["k"], {d, j, 0, 0});
                }
                row.s.push_back(dot);
                row.v.push_back(element(a.buffers["v"], {c, j, 0, 0}));
                row.bias.push_back(bias(j, i));
            }
            const double expected = GetParam().directly(row);
            ASSERT_NEAR(element(a.buffers["out"], {c, i, 0, 0}), expected, 1e-12 * std::max(1.0, std::abs(expected)))
                << "out(" << c << ", " << i << ")\n"
                << graph << plan << program;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Algorithms, OtherReductions, testing::ValuesIn(algorithms),
                         [](const testing::TestParamInfo<Algorithm> &info) { return info.param.name; });

/** In float32, values around 1000: the difference of two sums would have no digits left. */
TEST(Squares, AroundALargeMeanKeepTheirDigits) {
    Pieces p;
    const auto e = [&](Expr j) { return exp(p.s(j, p.i, p.h, p.b)); };
    Func l = p.row("l", e);
    Func mean = p.column("mean", [&](Expr j, Expr v) { return e(j) / l(p.i, p.h, p.b) * v; });
    Func squares = p.column("squares", [&](Expr j, Expr v) {
        return e(j) / l(p.i, p.h, p.b) * (v - mean(p.d, p.i, p.h, p.b)) * (v - mean(p.d, p.i, p.h, p.b));
    });
    p.out(p.d, p.i, p.h, p.b) = squares(p.d, p.i, p.h, p.b);
    p.out.output_buffer().dim(0).set_bounds(0, sizes.values);
    const ReductionGraph graph = read_algorithm({p.out});
    const Plan plan = derive_online(graph);
    ASSERT_EQ(plan.passes.size(), 1u) << plan;
    Choices choices;
    choices.query_tile = choices.stream_tile = 8;
    for (const int parts : {1, 3}) {
        choices.parts = parts;
        const TileProgram program = build_tiles("squares", graph, plan, choices);
        verify_tiles(program);
        TileArguments a = random_arguments(Halide::Float(32), sizes, false, 21);
        a.buffers[p.out.name()] = a.buffers["out"];
        Halide::Buffer<float> v = a.buffers["v"];
        v.for_each_element([&](const int *at) { v(at) += 1000; });
        interpret_tiles(program, a, {Arithmetic::Declared, false});
        for (int i = 0; i < sizes.queries; i++) {
            std::vector<double> weight;
            double total = 0;
            for (int j = 0; j < sizes.keys; j++) {
                double dot = 0;
                for (int d = 0; d < sizes.features; d++) {
                    dot += element(a.buffers["q"], {d, i, 0, 0}) * element(a.buffers["k"], {d, j, 0, 0});
                }
                weight.push_back(std::exp(dot));
                total += weight.back();
            }
            for (int c = 0; c < sizes.values; c++) {
                double first = 0, second = 0;
                for (int j = 0; j < sizes.keys; j++) {
                    first += weight[j] / total * element(a.buffers["v"], {c, j, 0, 0});
                }
                for (int j = 0; j < sizes.keys; j++) {
                    second += weight[j] / total * std::pow(element(a.buffers["v"], {c, j, 0, 0}) - first, 2);
                }
                ASSERT_NEAR(element(a.buffers["out"], {c, i, 0, 0}), second, 1e-5 * second)
                    << "out(" << c << ", " << i << ") in " << parts << " parts\n"
                    << program;
            }
        }
    }
}

}  // namespace
