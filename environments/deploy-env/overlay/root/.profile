# Only a person at a terminal gets bash; commands over ssh run in dash, which starts faster.
[ -t 0 ] && PS1='\h:\w\$ ' exec bash --norc
