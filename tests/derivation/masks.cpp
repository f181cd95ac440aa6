// Verdicts on tiles against every element: exact texts for the known masks, and
// random masks for soundness and precision.
#include "Algorithms.h"
#include "derivation/BoundMasks.h"
#include "tile/Golden.h"

#include <gtest/gtest.h>

using namespace strobe;
using namespace strobe::test;
using Halide::select;

namespace {

/** An input's element, as reading an algorithm leaves it. */
struct Input {
    ImageParam param;
    template<typename... Args>
    Expr operator()(const Args &...args) const {
        return Halide::Internal::Call::make(param.parameter(), {Expr(args)...});
    }
};

/** Queries i, keys j, batch b, whatever their loads need. */
struct MaskFixture {
    Input document{{Halide::Int(32), 2, "document"}}, lengths{{Halide::Int(32), 1, "lengths"}},
        allowed{{Halide::UInt(8), 2, "allowed"}}, threshold{{Halide::Float(32), 1, "threshold"}},
        starts{{Halide::Int(32), 2, "starts"}}, wide{{Halide::Int(64), 1, "wide"}};
    Param<int> window{"window", 5, 0, 1000}, width{"width", 4, 1, 100};
    Expr i = Halide::Internal::Variable::make(Halide::Int(32), "i");
    Expr j = Halide::Internal::Variable::make(Halide::Int(32), "j");
    Expr b = Halide::Internal::Variable::make(Halide::Int(32), "b");
    ReductionGraph graph;
    Roles roles;
    int queries, keys;

    MaskFixture(int queries, int keys) : queries(queries), keys(keys) {
        graph.axes = {{"i", 0, queries}, {"b", 0, 1}, {"j", 0, keys}};
        roles.stream = "j";
        roles.query = "i";
        roles.batch = {"b"};
    }

    MaskVerdict bound(const Expr &guard) const {
        return bound_mask(graph, roles, guard);
    }
};

std::string text(const Expr &e) {
    std::ostringstream stream;
    stream << e;
    return stream.str();
}

TEST(Masks, CausalIsOneRange) {
    MaskFixture f(100, 100);
    const MaskVerdict v = f.bound(f.j <= f.i);
    EXPECT_FALSE(v.begin.defined()) << v.begin;
    EXPECT_EQ(text(v.end), "(i.hi + 1)");
    EXPECT_EQ(text(v.full), "(j.hi <= i.lo)");
    EXPECT_TRUE(v.contiguous);
    EXPECT_TRUE(v.summaries.empty());
}

TEST(Masks, SlidingWindowIsABand) {
    MaskFixture f(100, 100);
    const MaskVerdict v = f.bound(f.j <= f.i && f.i - f.j <= f.window);
    EXPECT_EQ(text(v.begin), "(i.lo - window)");
    EXPECT_EQ(text(v.end), "(i.hi + 1)");
    EXPECT_TRUE(v.contiguous);
    const MaskVerdict symmetric = f.bound(Halide::abs(f.i - f.j) <= f.window);
    EXPECT_EQ(text(symmetric.begin), "(i.lo - window)");
    EXPECT_EQ(text(symmetric.end), "((i.hi + window) + 1)");
}

TEST(Masks, PrefixIsOneRange) {
    MaskFixture f(1000, 1000);
    const MaskVerdict v = f.bound(f.j < 256 || f.j <= f.i);
    EXPECT_FALSE(v.begin.defined()) << v.begin;
    EXPECT_EQ(text(v.end), "(max(i.hi, 255) + 1)");
    EXPECT_TRUE(v.contiguous);
}

TEST(Masks, SinksAndWindowLeaveAGap) {
    MaskFixture f(1000, 1000);
    const MaskVerdict v = f.bound(f.j <= f.i && (f.i - f.j <= f.window || f.j < 4));
    EXPECT_FALSE(v.begin.defined()) << v.begin;
    EXPECT_EQ(text(v.end), "(i.hi + 1)");
    EXPECT_FALSE(v.contiguous);
}

TEST(Masks, BlocksAndFutureAndEnd) {
    MaskFixture f(1000, 1000);
    EXPECT_EQ(text(f.bound(f.j / 64 <= f.i / 64).end), "(((i.hi/64)*64) + 64)");
    EXPECT_EQ(text(f.bound(f.j > f.i).begin), "(i.lo + 1)");
    EXPECT_EQ(text(f.bound(f.j - 3 == f.i).begin), "(i.lo + 3)");
    EXPECT_EQ(text(f.bound(f.j - 3 == f.i).end), "(i.hi + 4)");
    EXPECT_EQ(text(f.bound(!(f.j > f.i)).end), "(i.hi + 1)");
}

/** A divisor that is known to be positive need not be known; a bound far outside of all keys must not overflow. */
TEST(Masks, RowsOfAWidthAreOneRange) {
    MaskFixture f(1000, 1000);
    Param<int> far("far", 5, 0, 1 << 30);
    const MaskVerdict v = f.bound(f.j / f.width <= f.i / f.width && f.j / f.width >= f.i / f.width - far);
    Data data;
    for (const int window : {0, 3, 1000000000}) {
        data.scalars = {{"width", 10}, {"far", double(window)}};
        const std::map<std::string, double> corners = {{"i.lo", 205}, {"i.hi", 268}};
        const auto value = [&](const Expr &e) {
            return evaluate(data, e, [&](const std::string &name) {
                return corners.count(name) ? corners.at(name) : data.scalars.at(name);
            });
        };
        const double begin = value(v.begin);
        EXPECT_EQ(value(v.end), 270) << v.end;
        EXPECT_TRUE(window > 1000 ? begin <= 0 && begin > -2147483648.0 : begin == 200 - 10 * window) << v.begin;
    }
    MaskFixture any(1000, 1000);
    Param<int> unbounded("unbounded");
    EXPECT_FALSE(any.bound(any.j / unbounded <= any.i).end.defined());
}

TEST(Masks, ConditionsAreParts) {
    MaskFixture f(1000, 1000);
    const MaskVerdict v = f.bound(f.document(f.i, f.b) == f.document(f.j, f.b) && f.j <= f.i && f.i - f.j <= f.window);
    ASSERT_EQ(v.parts.size(), 3u);
    EXPECT_EQ(text(v.parts[1].guard), "(j <= i)");
    EXPECT_EQ(text(v.parts[1].full), "(j.hi <= i.lo)");
    EXPECT_EQ(f.bound(f.j < 256 || f.j <= f.i).parts.size(), 1u);
}

TEST(Masks, SidesOfAWindowAreParts) {
    MaskFixture f(1000, 1000);
    const MaskVerdict v = f.bound(Halide::abs(f.i - f.j) <= f.window);
    ASSERT_EQ(v.parts.size(), 2u);
    // A tile at one edge is full of what the other asks.
    EXPECT_NE(text(v.parts[0].full), text(v.parts[1].full));
    EXPECT_EQ(text(v.parts[0].full).find("j.hi"), std::string::npos) << v.parts[0].full;
    EXPECT_EQ(text(v.parts[1].full).find("j.lo"), std::string::npos) << v.parts[1].full;
    // Both sides of what is divided would cost an element twice.
    EXPECT_EQ(f.bound(Halide::abs(f.i % f.width - f.j % f.width) <= f.window).parts.size(), 1u);
}

TEST(Masks, LengthsAreKnownPerBatch) {
    MaskFixture f(1000, 1000);
    const MaskVerdict v = f.bound(f.j < f.lengths(f.b));
    EXPECT_NE(text(v.end).find("lengths(b)"), std::string::npos) << v.end;
    EXPECT_TRUE(v.contiguous);
    EXPECT_TRUE(v.summaries.empty());
}

TEST(Masks, LengthsMayBeWide) {
    MaskFixture f(1000, 1000);
    const MaskVerdict v = f.bound(f.j < f.wide(f.b));
    EXPECT_NE(text(v.end).find("wide(b)"), std::string::npos) << v.end;
    EXPECT_EQ(v.end.type(), Halide::Int(32));
    EXPECT_TRUE(v.contiguous);
    const MaskVerdict window = f.bound(Halide::abs(f.i - f.j) <= f.wide(f.b));
    EXPECT_TRUE(window.begin.defined() && window.end.defined()) << window.text;
    // Nothing overflows where a length is as large as it can be.
    for (const int64_t length : {INT64_MAX, INT64_MAX - 1, int64_t(1) << 32, int64_t(70)}) {
        const Expr end = Halide::Internal::simplify(f.bound(f.j < Halide::Internal::make_const(Halide::Int(64), length)).end);
        EXPECT_EQ(text(end), length == 70 ? "70" : text(Expr(INT32_MAX))) << length;
    }
}

TEST(Masks, DocumentsAreSummarised) {
    MaskFixture f(1000, 1000);
    const MaskVerdict v = f.bound(f.document(f.i, f.b) == f.document(f.j, f.b) && f.j <= f.i);
    ASSERT_EQ(v.summaries.size(), 2u);
    EXPECT_EQ(v.summaries[0].name, "%document.i");
    EXPECT_EQ(v.summaries[0].axis, "i");
    EXPECT_EQ(v.summaries[1].name, "%document.j");
    EXPECT_EQ(v.summaries[1].axis, "j");
    EXPECT_EQ(text(v.end), "(i.hi + 1)");
    EXPECT_FALSE(v.contiguous);
}

TEST(Masks, WhatVariesOnBothAxesIsAskedOfEachElement) {
    MaskFixture f(1000, 1000);
    const MaskVerdict v = f.bound(f.allowed(f.j, f.i) != Halide::cast<uint8_t>(0));
    EXPECT_TRUE(Halide::Internal::is_const_zero(v.dead)) << v.dead;
    EXPECT_TRUE(Halide::Internal::is_const_zero(v.full)) << v.full;
    EXPECT_TRUE(v.summaries.empty());
    const MaskVerdict causal = f.bound(f.j <= f.i && f.allowed(f.j, f.i) != Halide::cast<uint8_t>(0));
    EXPECT_EQ(text(causal.dead), "(i.hi < j.lo)");
}

TEST(Masks, FloatsMayBeNaN) {
    MaskFixture f(1000, 1000);
    const MaskVerdict v = f.bound(f.threshold(f.j) > 0.5f);
    EXPECT_TRUE(Halide::Internal::is_const_zero(v.dead)) << v.dead;
    EXPECT_TRUE(Halide::Internal::is_const_zero(v.full)) << v.full;
}

/** Random masks out of comparisons of coordinates, scalars and loads. */
class RandomMask {
    const MaskFixture &f;
    std::mt19937 &random;

    int pick(int n) {
        return int(random() % unsigned(n));
    }
    Expr coordinate() {
        switch (pick(8)) {
        case 6:
            return (pick(2) ? f.i : f.j) / f.width + pick(3);
        case 7:
            return (pick(2) ? f.i : f.j + pick(3) - 1) % f.width;
        case 0:
            return f.i;
        case 1:
            return f.j + pick(9) - 4;
        case 2:
            return f.i / (1 + pick(5)) + pick(3);
        case 3:
            return f.j / (1 + pick(5));
        case 4:
            return pick(2) ? f.j * (1 + pick(3)) : 3 - f.j;
        default:
            return Halide::Internal::simplify(f.i - f.j);
        }
    }
    Expr bound() {
        switch (pick(7)) {
        case 0:
            return f.i + pick(5);
        case 1:
            return f.window;
        case 2:
            return f.lengths(f.b);
        case 3:
            return f.document(f.i, f.b);
        case 4:
            return f.document(f.j, f.b);
        case 5:
            return f.starts(f.i / 4, f.b) + pick(3);
        default:
            return pick(24) - 4;
        }
    }

public:
    RandomMask(const MaskFixture &f, std::mt19937 &random) : f(f), random(random) {
    }
    Expr condition(int depth) {
        if (depth > 0 && pick(3)) {
            const Expr a = condition(depth - 1), b = condition(depth - 1);
            switch (pick(4)) {
            case 0:
                return a || b;
            case 1:
                return pick(2) ? !a : select(a, b, condition(depth - 1));
            default:
                return a && b;
            }
        }
        const Expr a = coordinate(), b = bound();
        switch (pick(7)) {
        case 0:
            return a == b;
        case 1:
            return a != b;
        case 2:
            return a < b;
        case 3:
            return b >= a;
        case 4:
            return a % (1 + pick(4)) == pick(3);
        case 5:
            return Halide::abs(a - b) <= Halide::cast<uint32_t>(pick(5));
        default:
            return b <= a;
        }
    }
};

struct Tile {
    int i0, i1, j0, j1;  // inclusive
};

class Checker {
    const MaskFixture &f;
    const Data &data;
    const MaskVerdict &v;
    std::map<std::string, double> corners;

    /** What is wrong with the parts of the mask on this tile. */
    std::string check_parts(const Tile &t) {
        std::vector<bool> all(v.parts.size(), true);
        for (int i = t.i0; i <= t.i1; i++) {
            for (int j = t.j0; j <= t.j1; j++) {
                const Point point = {{"i", double(i)}, {"j", double(j)}};
                bool every = true;
                for (size_t p = 0; p < v.parts.size(); p++) {
                    const bool live = value(v.parts[p].guard, point) != 0;
                    all[p] = all[p] && live;
                    every = every && live;
                }
                if (every != (value(v.guard, point) != 0)) {
                    return "the parts together are not the mask";
                }
            }
        }
        for (size_t p = 0; p < v.parts.size(); p++) {
            if (value(v.parts[p].full) != 0 && !all[p]) {
                return "a part that is full has a dead element";
            }
        }
        return "";
    }

    double value(const Expr &e, const Point &point = {}) {
        return evaluate(data, e, [&](const std::string &name) {
            auto it = point.find(name);
            return it != point.end() ? it->second : corners.count(name) ? corners.at(name) : data.scalars.at(name);
        });
    }

public:
    int decided = 0, tiles = 0;  // where an exact verdict would decide
    int all = 0;

    Checker(const MaskFixture &f, const Data &data, const MaskVerdict &v) : f(f), data(data), v(v) {
    }

    /** What is wrong with the verdict on this tile; "" if nothing. */
    std::string check(const Tile &t) {
        corners = {{"i.lo", t.i0}, {"i.hi", t.i1}, {"j.lo", t.j0}, {"j.hi", t.j1}, {"b", 0}};
        for (const Summary &s : v.summaries) {
            double least = INFINITY, most = -INFINITY;
            for (int x = s.axis == "i" ? t.i0 : t.j0; x <= (s.axis == "i" ? t.i1 : t.j1); x++) {
                const double y = value(s.load, {{s.axis, double(x)}});
                least = std::min(least, y);
                most = std::max(most, y);
            }
            corners[s.name + ".min"] = least;
            corners[s.name + ".max"] = most;
        }
        bool any = false, all = true, outside = false;
        for (int i = t.i0; i <= t.i1; i++) {
            for (int j = t.j0; j <= t.j1; j++) {
                const bool live = value(v.guard, {{"i", double(i)}, {"j", double(j)}}) != 0;
                any = any || live;
                all = all && live;
                const bool before = v.begin.defined() && j < value(v.begin);
                const bool behind = v.end.defined() && j >= value(v.end);
                outside = outside || (live && (before || behind));
            }
        }
        const bool dead = value(v.dead) != 0, full = value(v.full) != 0;
        const double begin = v.begin.defined() ? value(v.begin) : 0, end = v.end.defined() ? value(v.end) : f.keys;
        const bool visited = begin < end && t.j1 >= begin && t.j0 < end;
        this->all++;
        tiles += all || !any;
        decided += (all && full) || (!any && (dead || !visited));
        return outside                           ? "a live element lies outside [begin, end)"
               : dead && any                     ? "a dead tile has a live element"
               : full && !all                    ? "a full tile has a dead element"
               : v.contiguous && visited && !any ? "without gaps, but a visited tile has no live element"
                                                 : check_parts(t);
    }
};

TEST(Masks, OfRandomConditionsAreSound) {
    int tiles = 0, decided = 0;
    for (unsigned seed = 0; seed < 800; seed++) {
        std::mt19937 random(seed);
        MaskFixture f(1 + int(random() % 30), 1 + int(random() % 40));
        const Expr guard = RandomMask(f, random).condition(2);
        const MaskVerdict v = f.bound(guard);
        Data data;
        data.scalars = {{"window", double(random() % 12)}, {"width", double(1 + random() % 9)}};
        data.inputs["lengths"] = [](const std::vector<int> &) { return 11; };
        const bool sorted = random() % 2;
        data.inputs["document"] = [=](const std::vector<int> &at) {
            return sorted ? at[0] / 6 : (at[0] * 7 + int(seed)) % 5;
        };
        data.inputs["starts"] = [](const std::vector<int> &at) { return at[0] * 3; };
        Checker checker(f, data, v);
        const int rows = 1 + int(random() % 8), columns = 1 + int(random() % 8);
        for (int i = 0; i < f.queries; i += rows) {
            for (int j = 0; j < f.keys; j += columns) {
                const Tile t = {i, std::min(i + rows, f.queries) - 1, j, std::min(j + columns, f.keys) - 1};
                const std::string wrong = checker.check(t);
                ASSERT_EQ(wrong, "") << "seed " << seed << ", rows " << t.i0 << ".." << t.i1 << ", keys " << t.j0
                                     << ".." << t.j1 << "\nguard " << guard << "\ndead " << v.dead << "\nfull "
                                     << v.full << "\nbegin " << v.begin << "\nend " << v.end;
            }
        }
        tiles += checker.tiles;
        decided += checker.decided;
    }
    RecordProperty("decided", decided);
    RecordProperty("decidable", tiles);
    std::cout << "decided " << decided << " of " << tiles << " tiles that are dead or full\n";
    EXPECT_GT(decided, 0.75 * tiles) << "the verdicts have become much less precise";
}

/** Sound for the masks of the shipped algorithms, and as precise as said here. How many tiles are called
 * partial, and how many an exact verdict would, is in tests/golden/mask_precision.txt. */
TEST(Masks, OfShippedAlgorithms) {
    MaskFixture f(64, 64);
    const Input chosen{{Halide::Int(32), 3, "chosen"}};
    Expr routed;
    for (int n = 0; n < 3; n++) {
        const Expr one = chosen(n, f.i / 8, f.b) == f.j / 8;
        routed = routed.defined() ? routed || one : one;
    }
    struct Mask {
        const char *name;
        Expr guard;
        double precision;  // share of the dead and full tiles that are known to be so
    };
    const Mask masks[] = {
        {"causal", f.j <= f.i, 1},
        {"sliding window", f.j <= f.i && f.i - f.j <= 20, 1},
        {"prefix", f.j < 19 || f.j <= f.i, 1},
        {"documents", f.document(f.i, f.b) == f.document(f.j, f.b), 1},
        {"paged, key length", f.j < f.lengths(f.b), 1},
        {"packed causal", f.j <= f.i && f.document(f.i, f.b) == f.document(f.j, f.b), 1},
        {"lengths of both", f.i < f.lengths(f.b) && f.j < f.lengths(f.b), 1},
        {"dilated window", dilated_window(f.i, f.j, 9, 3), 1},
        {"global and window", global_window(f.i, f.j, 6, 5), 1},
        {"neighbourhood, rows of 8", neighbourhood(f.i, f.j, 8, 2), 1},
        {"neighbourhood, rows of 16", neighbourhood(f.i, f.j, 16, 3), 1},
        {"neighbourhood, rows of a width", neighbourhood(f.i, f.j, f.width, 3), 1},
        {"block diffusion", block_diffusion(f.i, f.j, 32, 8), 1},
        {"block diffusion, blocks of a width", block_diffusion(f.i, f.j, 32, f.width), 1},
        {"chosen blocks", f.j <= f.i && routed, 0.85}};
    std::ostringstream table;
    table << "tiles of 64 x 64 elements: how many are partial if the verdict is exact, are called partial, of all\n";
    Data data;
    data.scalars = {{"width", 8}};
    data.inputs["lengths"] = [](const std::vector<int> &) { return 37; };
    data.inputs["document"] = [](const std::vector<int> &at) { return at[0] / 10; };
    data.inputs["chosen"] = [](const std::vector<int> &at) { return (at[0] * 5 + at[1] * 3) % 8; };
    for (const Mask &mask : masks) {
        const MaskVerdict v = f.bound(mask.guard);
        for (int size : {4, 8, 16}) {
            Checker checker(f, data, v);
            for (int i = 0; i < f.queries; i += size) {
                for (int j = 0; j < f.keys; j += size) {
                    ASSERT_EQ(checker.check({i, i + size - 1, j, j + size - 1}), "")
                        << mask.name << " at " << i << ", " << j << ", tiles of " << size << "\ndead " << v.dead
                        << "\nfull " << v.full << "\nbegin " << v.begin << "\nend " << v.end;
                }
            }
            table << mask.name << ", tiles of " << size << ": " << checker.all - checker.tiles << ", "
                  << checker.all - checker.decided << " of " << checker.all << "\n";
            EXPECT_GE(checker.decided, mask.precision * checker.tiles)
                << mask.name << ", tiles of " << size << "\ndead " << v.dead << "\nfull " << v.full;
        }
    }
    expect_golden("mask_precision.txt", table.str());
}

/** For the usual masks the verdict is exact. */
TEST(Masks, OfVariantsAreExact) {
    MaskFixture f(37, 45);
    const std::vector<Expr> guards = {f.j <= f.i,
                                      f.j <= f.i && f.i - f.j <= f.window,
                                      f.j < 10 || f.j <= f.i,
                                      f.document(f.i, f.b) == f.document(f.j, f.b),
                                      f.j < f.lengths(f.b),
                                      f.j / 8 <= f.i / 8,
                                      f.j < f.starts(f.i, f.b)};
    Data data;
    data.scalars["window"] = 7;
    data.inputs["lengths"] = [](const std::vector<int> &) { return 21; };
    data.inputs["document"] = [](const std::vector<int> &at) { return at[0] / 10; };
    data.inputs["starts"] = [](const std::vector<int> &at) { return at[0] * at[0] / 20; };
    for (const Expr &guard : guards) {
        const MaskVerdict v = f.bound(guard);
        Checker checker(f, data, v);
        for (int size : {1, 4, 8, 16}) {
            for (int i = 0; i < f.queries; i += size) {
                for (int j = 0; j < f.keys; j += size) {
                    ASSERT_EQ(checker.check({i, std::min(i + size, f.queries) - 1, j, std::min(j + size, f.keys) - 1}),
                              "")
                        << guard << " at " << i << ", " << j << ", tiles of " << size << ", begin " << v.begin
                        << ", end " << v.end;
                }
            }
        }
        EXPECT_EQ(checker.decided, checker.tiles) << guard << "\ndead " << v.dead << "\nfull " << v.full;
    }
}

}  // namespace
