#!/bin/bash
# Holds the width of what people read: no comment and no line of prose is longer than 110 characters, and a
# cell of a Markdown table holds at most 200. Not held: code (clang-format's), fenced text, a line that is one
# word (an address), and README.md's tables.
# Usage: style.sh SOURCE_FOLDER
set -u
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
case ${1:-} in -h | --help) help; exit 0 ;; esac
[ $# -eq 1 ] && [ -f "$1/CMakePresets.json" ] || { echo "style: one folder of sources wanted, not \"$*\"" >&2; help >&2; exit 2; }
cd "$1" || exit 2
find . \( -name .git -o -path ./build -o -path ./tests/data -o -path ./tests/fuzz/corpus -o -path ./tests/fuzz/crashes \) \
  -prune -o -type f \( -name '*.[ch]pp' -o -name '*.sh' -o -name '*.md' -o -name '*.in' -o -name CMakeLists.txt \) -print |
  sort | xargs perl -CSD -ne '
    BEGIN { $longest = 110; $cell = 200; $files = @ARGV }
    sub complain { printf "style: %s:%d: %s\n", $ARGV =~ s{^\./}{}r, $., $_[0]; ++$wrong }
    chomp;
    if ($ARGV =~ /[.]md$/) {
      $fenced = !$fenced if /^\s*```/;
      if (/^\|/) {
        next if $ARGV eq "./README.md";
        for (split / \| /) { complain(length() . " characters in a cell") if length > $cell }
      } elsif (!$fenced && length > $longest && /\S\s+\S/) { complain(length() . " characters") }
    } elsif (length > $longest) {
      my $code = $_;
      $code =~ s/"(?:[^"\\]|\\.)*"//g;
      my $mark = $ARGV =~ /pp$/ ? "//" : "#";
      complain(length() . " characters with a comment") if $code =~ m{(?:^|\s)\Q$mark\E};
    }
    if (eof) { close ARGV; $fenced = 0 }
    END {
      print "style: $files files keep to $longest characters\n" unless $wrong;
      $? = $wrong ? 1 : 0;
    }'
