# Made from --help by `python docs/generate.py`: change it there.
complete -c selchat-client -f
complete -c selchat-client -s h -d 'show this help message and exit'
complete -c selchat-client -l help -d 'show this help message and exit'
complete -c selchat-client -l version -d 'show program\'s version number and exit'
complete -c selchat-client -l user -x -d 'your name'
complete -c selchat-client -l to -x -d 'talk to TARGET, \'#ROOM\' or \'@USER\', in quotes'
complete -c selchat-client -l plain -d 'line mode, the only one for now'
complete -c selchat-client -l linear -d 'nothing moves on the terminal'
complete -c selchat-client -l no-color -d 'no colours'
complete -c selchat-client -l no-bell -d 'ring for nothing'
complete -c selchat-client -l json -d 'print events as JSON lines, for bots'
complete -c selchat-client -l patience -x -d 'how long to try to reach a server that was lost'
complete -c selchat-client -l config -r -F -d 'TOML file with profiles'
