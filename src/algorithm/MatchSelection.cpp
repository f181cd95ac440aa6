#include "MatchSelection.h"

#include "support/Error.h"

#include <algorithm>
#include <map>
#include <set>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Lists longer than this are not tried. */
const int longest = 8;

class FindElements : public IRVisitor {
    using IRVisitor::visit;
    const std::string &name;

    void visit(const Call *op) override {
        if (op->call_type == Call::Halide && op->name == name) {
            found.insert(op->value_index);
        }
        IRVisitor::visit(op);
    }

public:
    std::set<int> found;
    explicit FindElements(const std::string &name) : name(name) {
    }
};

/** An element of the list as it was, or what is new. */
struct Leaf {
    int element = -1;  // -1: `fresh`
    Expr fresh;
};

/** Thrown by what is neither a comparison nor a selection. */
struct NotASelection {};

class SelectionMatcher {
    const Function &f;
    std::vector<Expr> values;
    Expr key;
    std::vector<int> keys;       // elements by rank
    std::vector<int> numbers;    // what their keys are, in one order that is tried
    int fresh_number = 0;
    ReduceOp op = ReduceOp::Max;
    mutable std::map<const IRNode *, std::set<int>> elements;  // that a part of `values` refers to

    const std::set<int> &elements_in(const Expr &e) const {
        const auto [known, is_new] = elements.try_emplace(e.get());
        if (is_new) {
            FindElements find(f.name());
            e.accept(&find);
            known->second = find.found;
        }
        return known->second;
    }
    const Call *as_self(const Expr &e) const {
        const Call *call = e.as<Call>();
        return call && call->call_type == Call::Halide && call->name == f.name() ? call : nullptr;
    }

    void compared(const Expr &e, std::set<int> &found);
    void find_keys(const Expr &e, std::set<int> &found);
    int number(const Leaf &leaf) const;
    Leaf leaf(const Expr &e) const;
    bool holds(const Expr &c) const;

    size_t place() const;
    Leaf moved(int element) const;
    bool keys_are_sorted() const;
    std::optional<UpdateStep> try_order(int element);
    bool as_expected(int element, size_t rank, const std::vector<int> &before) const;
    void check_start() const;
    template<typename Check>
    bool in_all_orders(const Check &check);

public:
    explicit SelectionMatcher(const Function &f) : f(f) {
        for (const Expr &e : f.update(0).values()) {
            values.push_back(substitute_in_all_lets(e));
        }
    }
    std::optional<UpdateStep> match(int element);
};

/** One side of a comparison: an element that is a key, or the new key. */
void SelectionMatcher::compared(const Expr &e, std::set<int> &found) {
    if (const Call *self = as_self(e)) {
        found.insert(self->value_index);
    } else if (!elements_in(e).empty()) {
        find_keys(e, found);  // the greater of two, say
    } else if (!key.defined()) {
        key = e;
    } else if (!equal(key, e)) {
        throw NotASelection();
    }
}

void SelectionMatcher::find_keys(const Expr &e, std::set<int> &found) {
    const auto both = [&](const Expr &a, const Expr &b) {
        if (!elements_in(a).empty() || !elements_in(b).empty()) {
            compared(a, found);
            compared(b, found);
        }
    };
    if (const LT *c = e.as<LT>()) {
        both(c->a, c->b);
    } else if (const LE *c = e.as<LE>()) {
        both(c->a, c->b);
    } else if (const GT *c = e.as<GT>()) {
        both(c->a, c->b);
    } else if (const GE *c = e.as<GE>()) {
        both(c->a, c->b);
    } else if (const Max *c = e.as<Max>()) {
        both(c->a, c->b);
    } else if (const Min *c = e.as<Min>()) {
        both(c->a, c->b);
    } else if (const And *c = e.as<And>()) {
        find_keys(c->a, found);
        find_keys(c->b, found);
    } else if (const Or *c = e.as<Or>()) {
        find_keys(c->a, found);
        find_keys(c->b, found);
    } else if (const Not *c = e.as<Not>()) {
        find_keys(c->a, found);
    } else if (const Select *c = e.as<Select>()) {
        find_keys(c->condition, found);
        find_keys(c->true_value, found);
        find_keys(c->false_value, found);
    } else if (!as_self(e) && !elements_in(e).empty()) {
        throw NotASelection();
    }
}

int SelectionMatcher::number(const Leaf &leaf) const {
    if (leaf.element < 0) {
        if (!equal(leaf.fresh, key)) {
            throw NotASelection();
        }
        return fresh_number;
    }
    const auto at = std::find(keys.begin(), keys.end(), leaf.element);
    if (at == keys.end()) {
        throw NotASelection();
    }
    return numbers[at - keys.begin()];
}

/** What \p e is in the order that is tried. */
Leaf SelectionMatcher::leaf(const Expr &e) const {
    if (const Call *self = as_self(e)) {
        return {self->value_index, Expr()};
    }
    if (const Select *c = e.as<Select>(); c && !elements_in(c->condition).empty()) {
        return leaf(holds(c->condition) ? c->true_value : c->false_value);
    }
    if (elements_in(e).empty()) {
        return {-1, e};
    }
    const Max *greater = e.as<Max>();
    const Min *less = e.as<Min>();
    if (!greater && !less) {
        throw NotASelection();
    }
    const Leaf a = leaf(greater ? greater->a : less->a), b = leaf(greater ? greater->b : less->b);
    return (greater ? number(a) >= number(b) : number(a) <= number(b)) ? a : b;
}

bool SelectionMatcher::holds(const Expr &c) const {
    const auto compare = [&](const Expr &a, const Expr &b) { return number(leaf(a)) - number(leaf(b)); };
    if (const LT *op = c.as<LT>()) {
        return compare(op->a, op->b) < 0;
    }
    if (const LE *op = c.as<LE>()) {
        return compare(op->a, op->b) <= 0;
    }
    if (const GT *op = c.as<GT>()) {
        return compare(op->a, op->b) > 0;
    }
    if (const GE *op = c.as<GE>()) {
        return compare(op->a, op->b) >= 0;
    }
    if (const And *op = c.as<And>()) {
        return holds(op->a) && holds(op->b);
    }
    if (const Or *op = c.as<Or>()) {
        return holds(op->a) || holds(op->b);
    }
    const Not *op = c.as<Not>();
    return op ? !holds(op->a) : throw NotASelection();
}

/** The rank at which the new key belongs: behind those that are as good. */
size_t SelectionMatcher::place() const {
    return std::count_if(numbers.begin(), numbers.end(), [&](int n) {
        return op == ReduceOp::Max ? n >= fresh_number : n <= fresh_number;
    });
}

Leaf SelectionMatcher::moved(int element) const {
    return leaf(values[element]);
}

bool SelectionMatcher::keys_are_sorted() const {
    std::vector<int> sorted = numbers;
    sorted.insert(sorted.begin() + long(place()), fresh_number);
    for (size_t n = 0; n < keys.size(); n++) {
        if (number(moved(keys[n])) != sorted[n]) {
            return false;
        }
    }
    return true;
}

/** Sets `numbers` and `fresh_number` to every order of sorted keys and a new one. */
template<typename Check>
bool SelectionMatcher::in_all_orders(const Check &check) {
    const int k = int(keys.size()), sign = op == ReduceOp::Max ? -2 : 2;
    for (int equalities = 0; equalities < 1 << (k - 1); equalities++) {
        numbers.assign(1, 0);
        for (int n = 1; n < k; n++) {
            numbers.push_back(numbers.back() + (equalities >> (n - 1) & 1 ? 0 : sign));
        }
        const int low = std::min(numbers.front(), numbers.back()), high = std::max(numbers.front(), numbers.back());
        for (fresh_number = low - 1; fresh_number <= high + 1; fresh_number++) {
            if (!check()) {
                return false;
            }
        }
    }
    return true;
}

/** The element moves as one of this rank does; before[n] is the element of rank n beside it, or -1 if not known. */
bool SelectionMatcher::as_expected(int element, size_t rank, const std::vector<int> &before) const {
    const size_t at = place();
    const Leaf now = moved(element);
    return at > rank    ? now.element == element
           : at == rank ? now.element < 0
                        : now.element == before[rank - 1];
}

/** The step of \p element if its Tuple keeps `keys` sorted by `op`. */
std::optional<UpdateStep> SelectionMatcher::try_order(int element) {
    if (!in_all_orders([&] { return keys_are_sorted(); })) {
        return std::nullopt;
    }
    const auto key_at = std::find(keys.begin(), keys.end(), element);
    if (key_at != keys.end()) {
        return UpdateStep{op, chosen(key, key), int(key_at - keys.begin())};
    }
    // Where something new is put into an element, and for better keys, which one it comes from.
    const int k = int(keys.size()), sign = op == ReduceOp::Max ? -2 : 2;
    std::vector<int> beside(k, -1);
    Expr value;
    int rank = -1;
    for (int at = element, steps = 0; at >= 0; steps++) {
        int own = -1, from = -1;
        for (int p = 0; p <= k; p++) {
            for (int n = 0; n < k; n++) {
                numbers[n] = sign * n;
            }
            fresh_number = sign * p - sign / 2;
            const Leaf now = moved(at);
            if (now.element < 0 && own >= 0) {
                return std::nullopt;
            }
            if (now.element < 0) {
                own = p;
                value = steps == 0 ? now.fresh : value;
            } else if (p == 0) {
                from = now.element;
            }
        }
        if (own < 0 || own >= k || (steps > 0 && own != rank - steps)) {
            return std::nullopt;
        }
        rank = steps == 0 ? own : rank;
        beside[own] = at;
        at = own > 0 ? from : -1;
    }
    if (!in_all_orders([&] { return as_expected(element, size_t(rank), beside); })) {
        return std::nullopt;
    }
    return UpdateStep{op, chosen(value, key), rank};
}

/** All keys are the identity at first: any key is better. */
void SelectionMatcher::check_start() const {
    for (int k : keys) {
        const Expr start = simplify(f.values()[k]), identity = simplify(identity_of(op, key.type()));
        if (!equal(start, identity)) {
            strobe_user_error() << "Func " << f.name() << ": element " << k
                                << " of its Tuple, a key that selects, starts from " << start << "; it must start from " << identity
                                << ", so that any key is better. Keep those beyond a threshold by a mask on the key.";
        }
    }
}

std::optional<UpdateStep> SelectionMatcher::match(int element) {
    try {
        std::set<int> found, reached = {element}, seen;
        while (!reached.empty()) {  // all elements whose values reach this one
            const int e = *reached.begin();
            reached.erase(reached.begin());
            if (seen.insert(e).second) {
                find_keys(values[e], found);
                for (int other : elements_in(values[e])) {
                    reached.insert(other);
                }
            }
        }
        if (!key.defined() || found.empty() || int(found.size()) > longest) {
            return std::nullopt;
        }
        keys.assign(found.begin(), found.end());
        for (const bool reversed : {false, true}) {
            for (const ReduceOp which : {ReduceOp::Max, ReduceOp::Min}) {
                op = which;
                if (const std::optional<UpdateStep> step = try_order(element)) {
                    check_start();
                    return step;
                }
            }
            std::reverse(keys.begin(), keys.end());
        }
    } catch (const NotASelection &) {
    }
    return std::nullopt;
}

}  // namespace

std::optional<UpdateStep> match_selection(const Function &f, int element) {
    return f.outputs() > 1 ? SelectionMatcher(f).match(element) : std::nullopt;
}

}  // namespace strobe
