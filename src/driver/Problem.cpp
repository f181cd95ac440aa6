#include "Problem.h"

#include "AxisLengths.h"
#include "support/Error.h"
#include "support/NearestName.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace strobe {

using namespace Halide;

namespace {

/** Calls action with a null pointer to the C++ type of t's elements. */
template<typename Action>
void dispatch(const Type &t, const Action &action) {
    if (t == Float(32)) {
        action(static_cast<float *>(nullptr));
    } else if (t == Float(64)) {
        action(static_cast<double *>(nullptr));
    } else if (t == Float(16)) {
        action(static_cast<float16_t *>(nullptr));
    } else if (t == BFloat(16)) {
        action(static_cast<bfloat16_t *>(nullptr));
    } else if (t == Int(32)) {
        action(static_cast<int32_t *>(nullptr));
    } else if (t == Int(64)) {
        action(static_cast<int64_t *>(nullptr));
    } else if (t == Int(8)) {
        action(static_cast<int8_t *>(nullptr));
    } else if (t == UInt(8)) {
        action(static_cast<uint8_t *>(nullptr));
    } else {
        strobe_user_error() << "can't make data of type " << t
                            << "; supported: float16, bfloat16, float32, float64, int8, int32, int64, uint8";
    }
}

template<typename T>
T convert(double x) {
    if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>) {
        return T(float(x));
    } else {
        return static_cast<T>(x);
    }
}

double scalar_value(const Parameter &p, const Problem &problem) {
    auto given = problem.scalars.find(p.name());
    Expr e = given != problem.scalars.end() ? Expr(given->second) : p.default_value();
    if (!e.defined()) {
        strobe_user_error() << "scalar " << p.name() << " has no default; give it a value: " << p.name() << "=...";
    }
    e = Internal::simplify(cast(Float(64), e));
    auto value = Internal::as_const_float(e);
    strobe_internal_assert(value) << e;
    auto bound = [](const Expr &b) { return *Internal::as_const_float(Internal::simplify(cast(Float(64), b))); };
    const double low = p.min_value().defined() ? bound(p.min_value()) : -HUGE_VAL;
    const double high = p.max_value().defined() ? bound(p.max_value()) : HUGE_VAL;
    if (!(*value >= low && *value <= high)) {
        strobe_user_error() << "scalar " << p.name() << " is " << *value << "; it must be in [" << low << ", " << high
                            << "]";
    }
    return *value;
}

void set_scalar(Parameter &p, double value) {
    if (p.type() == Float(32)) {
        p.set_scalar<float>(static_cast<float>(value));
    } else if (p.type() == Int(32)) {
        p.set_scalar<int32_t>(static_cast<int32_t>(value));
    } else if (p.type() == Float(64)) {
        p.set_scalar<double>(value);
    } else {
        strobe_user_error() << "scalar " << p.name() << " has type " << p.type()
                            << "; supported here: float32, float64, int32";
    }
}

/** Each number below \p count once, in random order, again and again. */
void fill_indices(Buffer<> &buffer, int count, std::mt19937 &random) {
    std::vector<int> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    fill(buffer, [&](int64_t index) { return double(order[index % count]); });
}

/** \p most: of integers that are lengths. */
void fill_input(Buffer<> &buffer, const InputSizes &input, int most, std::mt19937 &random) {
    if (buffer.type().is_float() && buffer.dimensions() > 1) {
        std::normal_distribution<double> normal;
        fill(buffer, [&](int64_t) { return normal(random); });
    } else if (buffer.type().is_float()) {
        const double n = static_cast<double>(buffer.dim(0).extent());
        fill(buffer, [&](int64_t index) {
            return std::exp2(-8.0 * static_cast<double>(index % buffer.dim(0).extent() + 1) / n);
        });
    } else if (buffer.dimensions() == 1) {
        // Lengths.
        std::uniform_int_distribution<int> length(0, most);
        fill(buffer, [&](int64_t) { return double(length(random)); });
    } else if (input.greatest_index) {
        fill_indices(buffer, *input.greatest_index + 1, random);
    } else {
        // About six segments along the innermost dimension.
        std::bernoulli_distribution next(std::min(1.0, 6.0 / std::max(1, buffer.dim(0).extent())));
        int id = 0;
        fill(buffer, [&](int64_t index) {
            id = index % buffer.dim(0).extent() == 0 ? 0 : id + int(next(random));
            return double(id);
        });
    }
}

}  // namespace

void check_problem(const Problem &p) {
    const std::pair<const char *, int> sizes[] = {
        {"batch", p.batch}, {"heads", p.heads}, {"kv-heads", p.kv_heads}, {"queries", p.queries}, {"keys", p.keys}};
    for (const auto &[name, value] : sizes) {
        if (value < 1) {
            strobe_user_error() << name << " is " << value << "; it must be at least 1";
        }
    }
    if (p.heads % p.kv_heads != 0) {
        strobe_user_error() << "heads is " << p.heads << ", kv-heads is " << p.kv_heads
                            << "; heads must be a multiple of kv-heads";
    }
}

void check_scalar(const Instance &instance, const std::string &name) {
    std::vector<std::string> known;
    for (const Parameter &p : instance.inputs) {
        if (!p.is_buffer()) {
            known.push_back(p.name());
        }
    }
    if (std::find(known.begin(), known.end(), name) == known.end()) {
        known.insert(known.end(), {"dtype", "head_dim", "value_dim"});
        strobe_user_error() << instance.name << " has no scalar or setting " << name << suggestion_for(name, known);
    }
}

void bind_inputs(Instance &instance, const Problem &problem) {
    check_problem(problem);
    for (const auto &[name, value] : problem.scalars) {
        check_scalar(instance, name);
    }

    for (Parameter &p : instance.inputs) {
        if (!p.is_buffer()) {
            set_scalar(p, scalar_value(p, problem));
        }
    }
    const AxisLengths lengths(instance, problem);
    std::mt19937 random(problem.seed);
    for (Parameter &p : instance.inputs) {
        if (p.is_buffer() && !p.buffer().defined()) {
            Buffer<> buffer(p.type(), lengths.input(p.name()).sizes);
            fill_input(buffer, lengths.input(p.name()), std::max(problem.queries, problem.keys), random);
            p.set_buffer(buffer);
        }
    }
}

std::vector<Buffer<>> make_outputs(Instance &instance, const std::vector<Func> &outputs, const Problem &problem) {
    const AxisLengths lengths(instance, problem);
    std::vector<Buffer<>> buffers;
    for (const Func &f : outputs) {
        for (const Type &type : f.types()) {
            Buffer<> buffer(type, lengths.output(buffers.size()));
            fill(buffer, [](int64_t) { return std::numeric_limits<double>::quiet_NaN(); });
            buffers.push_back(buffer);
        }
    }
    return buffers;
}

void fill(Buffer<> &buffer, const std::function<double(int64_t)> &value) {
    dispatch(buffer.type(), [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        T *data = static_cast<T *>(buffer.data());
        const int64_t size = static_cast<int64_t>(buffer.number_of_elements());
        for (int64_t n = 0; n < size; n++) {
            data[n] = convert<T>(value(n));
        }
    });
    buffer.set_host_dirty();
}

double element(const Buffer<> &buffer, int64_t index) {
    double result = 0;
    dispatch(buffer.type(), [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        result = static_cast<double>(static_cast<const T *>(buffer.data())[index]);
    });
    return result;
}

Difference difference(const Buffer<> &a, const Buffer<> &b) {
    strobe_internal_assert(a.number_of_elements() == b.number_of_elements());
    Difference d;
    const int64_t size = static_cast<int64_t>(a.number_of_elements());
    for (int64_t n = 0; n < size; n++) {
        const double x = element(a, n), y = element(b, n);
        double error = x == y ? 0 : std::abs(x - y);
        if (std::isnan(error)) {
            error = std::isnan(x) && std::isnan(y) ? 0 : HUGE_VAL;
        }
        d.mean += error / static_cast<double>(size);
        if (error > d.largest) {
            d.largest = error;
            d.at = n;
        }
    }
    return d;
}

double unit_roundoff(const Type &type) {
    if (type == BFloat(16)) {
        return std::ldexp(1.0, -8);
    }
    return std::ldexp(1.0, type.bits() == 16 ? -11 : type.bits() == 32 ? -24 : -53);
}

}  // namespace strobe
