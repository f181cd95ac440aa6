#ifndef STROBE_TILE_EVALUATE_EXPR_H
#define STROBE_TILE_EVALUATE_EXPR_H

/** \file
 * Evaluates a Halide Expr at many points at once, without compiling anything: the
 * arithmetic of the interpreter. It shares no code with the lowerings. */

#include "Halide.h"

#include <functional>
#include <vector>

namespace strobe {

/** The values of an Expr at a list of points. */
struct Lanes {
    Halide::Type type;
    std::vector<double> f;   // floating point
    std::vector<int64_t> i;  // integers and booleans, wrapped to the type's bits

    Lanes() = default;
    Lanes(Halide::Type type, size_t points);
    size_t size() const {
        return type.is_float() ? f.size() : i.size();
    }
    double as_double(size_t point) const {
        return type.is_float() ? f[point] : (double)i[point];
    }
};

enum class Arithmetic {
    Declared,  // every operation is rounded to its type
    Exact
};  // all floating-point types are computed, and kept, as double

/** What the Expr's names mean. A function returns false for a name that it does not know. */
struct Meaning {
    size_t points = 1;
    Arithmetic arithmetic = Arithmetic::Declared;
    /** Fills lanes, whose type and size are set. */
    std::function<bool(const Halide::Internal::Variable &, Lanes &)> variable;
    std::function<bool(const Halide::Internal::Call &, const std::vector<Lanes> &index, Lanes &)> load;
};

/** Throws InternalError naming what it does not know. */
Lanes evaluate_expr(const Halide::Expr &e, const Meaning &meaning);

/** \p x as a value of a floating-point type. */
double rounded_to(Halide::Type type, double x);

/** \p lanes as values of another type: C's conversion, wrapping for integers. */
Lanes converted_to(Halide::Type type, const Lanes &lanes, Arithmetic arithmetic);

}  // namespace strobe

#endif
