#include "text/SizeMatcher.h"

#include "support/Error.h"
#include "text/Texts.h"

#include <gtest/gtest.h>

#include <random>

using namespace strobe;

namespace {

using Sizes = std::vector<std::vector<int64_t>>;

std::string print(const Sizes &sizes) {
    std::string text;
    for (const auto &tensor : sizes) {
        text += "(";
        for (const int64_t s : tensor) {
            text += " " + std::to_string(s);
        }
        text += " )";
    }
    return text;
}

/** Both verdicts, and the sizes where they are yes. Innermost first. */
void expect_agreement(const TextAlgorithm &a, const SizeMatcher &matcher, const Sizes &sizes,
                      const std::vector<double> &scalars, int &accepted) {
    Sizes want, got, turned;
    bool legal = true;
    try {
        want = output_sizes(a, sizes);
        check_scalar_values(a, scalars);
    } catch (const UserError &) {
        legal = false;
    }
    std::vector<ShapeView> shapes;
    for (const auto &s : sizes) {
        turned.emplace_back(s.rbegin(), s.rend());
    }
    for (const auto &s : turned) {
        shapes.push_back({s.data(), int64_t(s.size())});
    }
    ASSERT_EQ(matcher.match(shapes, scalars, got), legal) << print(sizes) << " scale " << (scalars.empty() ? 0 : scalars[0]);
    if (legal) {
        for (auto &s : got) {
            std::reverse(s.begin(), s.end());
        }
        ASSERT_EQ(got, want) << print(sizes);
        accepted++;
    }
}

}  // namespace

TEST(SizeMatcher, AgreesWithOutputSizes) {
    const std::string more = R"(, {"name": "document", "type": "int32", "sizes": ["N"]}, {"name": "any", "type": "int32", "sizes": [null, 2]})";
    const std::string mask = R"(["le", ["load", "document", "j"], ["load", "any", "i", ["const", "int32", 1]]])";
    const TextAlgorithm a = read_algorithm_text(attention_text(masked(mask), "float32", 16, more));
    const SizeMatcher matcher(a);
    std::mt19937 random(1);
    const auto one_of = [&](std::initializer_list<int64_t> values) { return values.begin()[random() % values.size()]; };
    int accepted = 0;
    for (int n = 0; n < 20000; n++) {
        const int64_t heads = one_of({0, 1, 2, 4}), kv_heads = one_of({0, 1, 2, 3}), batch = one_of({0, 1, 3});
        const int64_t queries = one_of({0, 1, 9}), keys = one_of({0, 5, 9});
        Sizes sizes = {{16, queries, heads, batch}, {16, keys, kv_heads, batch}, {16, keys, kv_heads, batch},
                       {one_of({0, 5, 9})}, {one_of({0, 9, 12}), 2}};
        if (random() % 3 == 0) {
            auto &tensor = sizes[random() % sizes.size()];
            tensor[random() % tensor.size()] = one_of({-1, 2, 7, int64_t(1) << 40});
        }
        if (random() % 20 == 0) {
            sizes[random() % sizes.size()].push_back(1);
        }
        if (random() % 20 == 0) {
            sizes.pop_back();
        }
        std::vector<double> scalars = {double(one_of({-1, 0, 1, 1 << 30}))};
        scalars.resize(random() % 20 ? 1 : 2);
        expect_agreement(a, matcher, sizes, scalars, accepted);
        if (HasFatalFailure()) {
            return;
        }
    }
    EXPECT_GT(accepted, 100) << "hardly any case was legal";
}

TEST(SizeMatcher, IntegerScalars) {
    const TextAlgorithm a = read_algorithm_text(
        R"({"strobe": 1, "name": "shift", "tensors": [{"name": "x", "type": "float32", "sizes": ["N"]}],
            "scalars": [{"name": "n", "type": "int32", "min": 0, "max": 7}],
            "funcs": [{"name": "y", "args": [["i", "N"]],
                       "value": ["add", ["load", "x", "i"], ["cast", "float32", ["scalar", "n"]]]}],
            "outputs": ["y"]})");
    const SizeMatcher matcher(a);
    int accepted = 0;
    for (const double value : {-1.0, 0.0, 0.5, 7.0, 8.0, 1e300, std::nan("")}) {
        expect_agreement(a, matcher, {{4}}, {value}, accepted);
    }
    EXPECT_EQ(accepted, 2);
}
