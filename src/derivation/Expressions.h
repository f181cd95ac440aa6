#ifndef STROBE_DERIVATION_EXPRESSIONS_H
#define STROBE_DERIVATION_EXPRESSIONS_H

/** \file
 * Small questions about Exprs, and products and sums that keep a tidy form. An
 * undefined factor counts as 1, an undefined summand as 0. */

#include "algorithm/ReductionGraph.h"

#include <functional>
#include <set>

namespace strobe {

/** Equal as trees; undefined equals undefined. */
bool same(const Expr &a, const Expr &b);
bool is_zero(const Expr &e);
bool is_one(const Expr &e);
bool is_minus_infinity(const Expr &e);
bool is_plus_infinity(const Expr &e);

/** e without casts between numeric types. */
Expr strip_casts(const Expr &e);
/** Everything that multiplies or is added up in \p e, through casts, quotients and
 * selections: what is left when no operator can be taken apart. */
std::vector<Expr> product_factors(const Expr &e);
/** Names of the reductions that \p e refers to directly. */
std::set<std::string> references(const ReductionGraph &graph, const Expr &e);
/** Names of all Variables in \p e. */
std::set<std::string> variables(const Expr &e);

/** The call of this elementary function ("exp", "log", "pow", "tanh") of any float type, or null. */
const Halide::Internal::Call *as_call(const Expr &e, const std::string &function);

/** a * b; moves into select(c, x, 0) and quotients, so that 1 / x times y is y / x. */
Expr times(const Expr &a, const Expr &b);
/** a / b; 0 where b is 0, if \p guarded. */
Expr divided(const Expr &a, const Expr &b, bool guarded);
/** select(c, a, 0), nested equal conditions said once. */
Expr where_else_zero(const Expr &c, const Expr &a);
/** The conjunction of conditions; undefined for none. */
Expr all_of(const std::vector<Expr> &conditions);
/** Not c, said with the opposite comparison of the same operands. */
Expr negation(const Expr &c);
/** Whether \p accepts says so of a call anywhere in \p e, which may be undefined. */
bool any_call(const Expr &e, const std::function<bool(const Halide::Internal::Call *)> &accepts);
/** No quotient, logarithm or root in it: finite for finite operands. */
bool is_total(const Expr &e);
/** The conditions whose conjunction \p c is. */
std::vector<Expr> conjuncts(const Expr &c);
/** a with those conditions of \p b that it lacks. */
std::vector<Expr> joined(std::vector<Expr> a, const std::vector<Expr> &b);
bool same(const std::vector<Expr> &a, const std::vector<Expr> &b);

/** Provably >= 0 (> 0). \p known: Variables that are >= 0. */
bool is_nonnegative(const Expr &e, const std::set<std::string> &known);
bool is_positive(const Expr &e, const std::set<std::string> &known);

/** e simplified by what the declared bounds of its scalars say. */
Expr simplified(const Expr &e);

/** e as text without the casts of Halide's printer, for facts and errors. */
std::string text_of(const Expr &e);

}  // namespace strobe

#endif
