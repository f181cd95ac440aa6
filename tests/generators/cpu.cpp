// Each shipped algorithm as compiled for the CPU: against float64, for all element
// types, ragged sizes, storage orders and guard margins. The error may be twice that
// of an unfused computation in the same type, plus one rounding of the result.

#include "Formulas.h"
#include "driver/Compile.h"

#include <gtest/gtest.h>

using namespace Halide;
using namespace strobe;
using namespace strobe::test;

namespace {

/** A copy of \p dense stored with dimension order[0] innermost, and `margin` elements
 * that nobody may touch on every side of the outer dimensions. */
struct Strided {
    Buffer<> whole, inside;

    Strided(const Buffer<> &dense, const std::vector<int> &order, int margin) {
        std::vector<int> sizes, mins;
        for (int n = 0; n < dense.dimensions(); n++) {
            sizes.push_back(dense.dim(n).extent() + (n > 0 ? 2 * margin : 0));
            mins.push_back(0);
        }
        whole = Buffer<>(dense.type(), sizes, order);
        std::memset(whole.raw_buffer()->host, 0xff, whole.size_in_bytes());
        inside = whole;
        for (int n = 1; n < dense.dimensions(); n++) {
            inside.crop(n, margin, dense.dim(n).extent());
        }
        inside.set_min(mins);
        if (dense.number_of_elements() > 0) {
            inside.copy_from(dense);
        }
    }
    /** Bytes outside `inside` that changed. Call after copying the result out. */
    int64_t overwritten() {
        if (inside.number_of_elements() > 0) {
            Buffer<> blank = Buffer<>(inside.type(), sizes_of(inside));
            std::memset(blank.raw_buffer()->host, 0xff, blank.size_in_bytes());
            inside.copy_from(blank);
        }
        const uint8_t *bytes = whole.raw_buffer()->host;
        return std::count_if(bytes, bytes + whole.size_in_bytes(), [](uint8_t x) { return x != 0xff; });
    }
    Buffer<> dense() const {
        Buffer<> copy(inside.type(), sizes_of(inside));
        if (inside.number_of_elements() > 0) {
            copy.copy_from(inside);
        }
        return copy;
    }
    static std::vector<int> sizes_of(const Buffer<> &b) {
        std::vector<int> sizes;
        for (int n = 0; n < b.dimensions(); n++) {
            sizes.push_back(b.dim(n).extent());
        }
        return sizes;
    }
};

double largest_error(const std::vector<double> &got, const std::vector<double> &expected) {
    double worst = 0;
    for (size_t n = 0; n < got.size(); n++) {
        worst = got[n] == expected[n] ? worst : std::max(worst, std::abs(got[n] - expected[n]));
    }
    return worst;
}

double largest(const std::vector<double> &values) {
    double size = 0;
    for (double x : values) {
        size = std::isfinite(x) ? std::max(size, std::abs(x)) : size;
    }
    return size;
}

void expect_within(const Buffer<> &got, const std::vector<double> &expected, double allowed, const std::string &what) {
    int wrong = 0;
    for (size_t n = 0; n < expected.size(); n++) {
        const double x = element(got, (int64_t)n), y = expected[n];
        if (!(x == y || std::abs(x - y) <= allowed) && wrong++ < 3) {
            ADD_FAILURE() << what << " element " << n << ": got " << x << ", expected " << y << " within " << allowed;
        }
    }
    EXPECT_EQ(wrong, 0) << what;
}

struct Case {
    Variant variant;
    std::string dtype;
    int head_dim, value_dim;
};

std::ostream &operator<<(std::ostream &s, const Case &c) {
    return s << c.variant.name << " " << c.dtype << " " << c.head_dim << " " << c.value_dim;
}

class Cpu : public testing::TestWithParam<Case> {
protected:
    /** One compiled algorithm runs all sizes. */
    static void run(Instance &instance, const Problem &p, const Formula &formula, const std::vector<int> &order) {
        std::ostringstream where;
        where << "batch " << p.batch << " heads " << p.heads << "/" << p.kv_heads << " queries " << p.queries
              << " keys " << p.keys << " innermost to outermost " << order[0] << order[1] << order[2] << order[3];
        SCOPED_TRACE(where.str());
        for (Parameter &input : instance.inputs) {
            if (input.is_buffer()) {
                input.set_buffer(Buffer<>());  // its size depends on the problem's
            }
        }
        bind_inputs(instance, p);
        const Type type = instance.outputs[0].type();
        const Expected exact = by_hand(instance, p, formula);
        const Expected unfused = by_hand(instance, p, formula, rounding_to(type), rounding_to(Float(32)));

        std::vector<Strided> inputs, results;
        for (const char *name : {"q", "k", "v"}) {
            inputs.emplace_back(instance.input(name)->buffer(), order, 1);
            instance.input(name)->set_buffer(inputs.back().inside);
        }
        const std::vector<int> rows = {0, 1, 2};
        std::vector<Buffer<>> buffers;
        for (const Buffer<> &b : make_outputs(instance, instance.outputs, p)) {
            results.emplace_back(b, b.dimensions() == 4 ? order : rows, 1);
            buffers.push_back(results.back().inside);
        }
        try {
            instance.pipeline.realize(Realization(buffers), get_host_target());
        } catch (const Halide::Error &e) {
            FAIL() << e.what();
        }

        const std::vector<double> *expected[] = {&exact.out, &exact.lse}, *rounded[] = {&unfused.out, &unfused.lse};
        for (int n = 0; n < 2; n++) {
            const double error = largest_error(*rounded[n], *expected[n]);
            const double size = largest(*expected[n]);
            const double ulp = unit_roundoff(instance.outputs[n].type()) * size;
            expect_within(results[n].dense(), *expected[n], 2 * error + 2 * ulp, instance.outputs[n].name());
            EXPECT_EQ(results[n].overwritten(), 0) << instance.outputs[n].name() << " was written outside its bounds";
        }
    }

    static Problem sized(int batch, int heads, int kv_heads, int queries, int keys) {
        Problem p;
        p.batch = batch;
        p.heads = heads;
        p.kv_heads = kv_heads;
        p.queries = queries;
        p.keys = keys;
        p.seed = queries + keys;
        return p;
    }
};

TEST_P(Cpu, matches_float64) {
    const Case &c = GetParam();
    const std::map<std::string, std::string> params = {
        {"dtype", c.dtype}, {"head_dim", std::to_string(c.head_dim)}, {"value_dim", std::to_string(c.value_dim)}};
    Instance instance = build_algorithm(c.variant.name, params, get_host_target());
    autoschedule(instance.pipeline, get_host_target());
    instance.pipeline.compile_jit(get_host_target());
    const Problem problems[] = {sized(1, 1, 1, 1, 1),     sized(2, 4, 2, 33, 77),   sized(1, 2, 1, 131, 5),
                                sized(1, 3, 3, 1, 300),   sized(1, 2, 2, 256, 256), sized(3, 1, 1, 129, 257)};
    std::vector<int> order = {0, 1, 2, 3};
    for (Problem p : problems) {
        if (instance.input("window")) {
            p.scalars["window"] = 40;
        }
        if (instance.input("prefix")) {
            p.scalars["prefix"] = 30;
        }
        run(instance, p, c.variant.formula, order);
        // The feature dimension stays innermost, as the algorithms declare.
        std::next_permutation(order.begin() + 1, order.end());
    }
}

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const Variant &v : variants) {
        all.push_back({v, "fp32", 64, 64});
        all.push_back({v, "bf16", 32, 48});
        all.push_back({v, "fp16", 5, 3});
    }
    return all;
}

INSTANTIATE_TEST_SUITE_P(, Cpu, testing::ValuesIn(cases()), [](const testing::TestParamInfo<Case> &info) {
    return std::string(info.param.variant.name) + "_" + info.param.dtype;
});

}  // namespace
